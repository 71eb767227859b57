//! Values that describe a model. Arrays stay in the file.

use std::borrow::Cow;

use crate::inference::weights::gguf::cursor::Cursor;
use crate::inference::weights::gguf::{ELEMENTS_MAX, GgufError, bounded};

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Array(Array),
}

/// Where an array's elements lie; they were walked once, so they are all there.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    kind: u32,
    count: usize,
    start: usize,
}

const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// Bytes of one element of a type with a fixed size.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | BOOL => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

impl Value {
    pub(super) fn read(cursor: &mut Cursor<'_>, key: &str) -> Result<Self, GgufError> {
        let kind = cursor.u32("a value")?;
        match kind {
            STRING => Ok(Self::Text(String::from_utf8_lossy(cursor.string("a text")?).into_owned())),
            ARRAY => Array::read(cursor, key).map(Self::Array),
            _ => scalar(cursor, kind, key),
        }
    }

    pub(super) fn as_count(&self) -> Option<u64> {
        match self {
            Self::Unsigned(value) => Some(*value),
            Self::Signed(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    pub(super) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Unsigned(value) => Some(*value as f64),
            Self::Signed(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn texts<'a>(&self, bytes: &'a [u8]) -> Option<impl ExactSizeIterator<Item = Cow<'a, str>> + use<'a>> {
        let Self::Array(Array { kind: STRING, count, start }) = self else { return None };
        let mut cursor = Cursor::at(bytes, *start);
        let next = move |_| String::from_utf8_lossy(cursor.string("an array").unwrap_or_default());
        Some((0..*count).map(next))
    }

    pub(super) fn numbers<'a>(&self, bytes: &'a [u8]) -> Option<impl ExactSizeIterator<Item = f64> + use<'a>> {
        let Self::Array(Array { kind, count, start }) = self else { return None };
        width(*kind)?;
        let mut cursor = Cursor::at(bytes, *start);
        let kind = *kind;
        let next = move |_| match scalar(&mut cursor, kind, "an array") {
            Ok(Self::Bool(flag)) => f64::from(u8::from(flag)),
            Ok(value) => value.as_number().unwrap_or_default(),
            Err(_) => 0.0,
        };
        Some((0..*count).map(next))
    }
}

impl Array {
    fn read(cursor: &mut Cursor<'_>, key: &str) -> Result<Self, GgufError> {
        let kind = cursor.u32("an array")?;
        let count = bounded(cursor.u64("an array")?, "elements of an array", ELEMENTS_MAX)?;
        let start = cursor.position();
        match width(kind) {
            Some(width) => drop(cursor.take(count * width, "an array")?),
            None if kind == STRING => {
                for _ in 0..count {
                    cursor.string("an array of texts")?;
                }
            }
            None => return Err(GgufError::ValueType { key: key.to_owned(), kind }),
        }
        Ok(Self { kind, count: count as usize, start })
    }
}

fn scalar(cursor: &mut Cursor<'_>, kind: u32, key: &str) -> Result<Value, GgufError> {
    let what = "a value";
    Ok(match kind {
        0 => Value::Unsigned(cursor.u8(what)?.into()),
        1 => Value::Signed(cursor.u8(what)?.cast_signed().into()),
        2 => Value::Unsigned(cursor.u16(what)?.into()),
        3 => Value::Signed(cursor.u16(what)?.cast_signed().into()),
        4 => Value::Unsigned(cursor.u32(what)?.into()),
        5 => Value::Signed(cursor.u32(what)?.cast_signed().into()),
        6 => Value::Float(f32::from_bits(cursor.u32(what)?).into()),
        BOOL => Value::Bool(cursor.u8(what)? != 0),
        10 => Value::Unsigned(cursor.u64(what)?),
        11 => Value::Signed(cursor.u64(what)?.cast_signed()),
        12 => Value::Float(f64::from_bits(cursor.u64(what)?)),
        _ => return Err(GgufError::ValueType { key: key.to_owned(), kind }),
    })
}
