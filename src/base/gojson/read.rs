//! Reading: a serde deserializer around another one, which matches keys in any case and takes `null` for the zero value.
//!
//! It streams: nothing is kept of what no field asks for, so a hostile megabyte costs no more than itself.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{BorrowedStrDeserializer, StringDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde_json::Value;

/// Entries in one list or one free object; more are refused before they are kept.
pub const LIST_LEN_MAX: usize = 10_000;

/// Reads one JSON document; nothing but white space may follow it.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    let text = String::from_utf8_lossy(bytes);
    let mut json = serde_json::Deserializer::from_str(&text);
    let value = T::deserialize(Go(&mut json))?;
    json.end()?;
    Ok(value)
}

/// Reads from a tree that is already there.
pub fn from_value<T: DeserializeOwned>(value: Value) -> serde_json::Result<T> {
    T::deserialize(Go(value))
}

/// The wrapped deserializer.
struct Go<D>(D);

/// What stands for `null`.
#[derive(Clone, Copy)]
enum Zero {
    Text,
    Number,
    Bool,
    List,
    Object,
    /// `null` itself: the visitor decides.
    Unit,
}

macro_rules! read {
    ($($method:ident => $zero:ident),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.deserialize_any(Reading { visitor, zero: Zero::$zero, fields: None })
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Go<D> {
    type Error = D::Error;

    read! {
        deserialize_bool => Bool,
        deserialize_i8 => Number, deserialize_i16 => Number, deserialize_i32 => Number, deserialize_i64 => Number,
        deserialize_u8 => Number, deserialize_u16 => Number, deserialize_u32 => Number, deserialize_u64 => Number,
        deserialize_f32 => Number, deserialize_f64 => Number,
        deserialize_char => Text, deserialize_str => Text, deserialize_string => Text,
        deserialize_seq => List, deserialize_map => Object,
        deserialize_any => Unit, deserialize_unit => Unit,
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(Reading { visitor, zero: Zero::Object, fields: Some(fields) })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(Reading { visitor, zero: Zero::Unit, fields: None })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_ignored_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        bytes byte_buf unit_struct tuple tuple_struct identifier
    }
}

/// The wrapped visitor: passes on what it is shown, wrapped again where there is more inside.
struct Reading<V> {
    visitor: V,
    zero: Zero,
    /// Names of the struct's fields, when it is a struct that is read.
    fields: Option<&'static [&'static str]>,
}

macro_rules! pass {
    ($($method:ident: $type:ty),* $(,)?) => {$(
        fn $method<E: de::Error>(self, value: $type) -> Result<V::Value, E> {
            self.visitor.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Reading<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    pass! {
        visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64,
        visit_str: &str, visit_borrowed_str: &'de str, visit_string: String,
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        match self.zero {
            Zero::Text => self.visitor.visit_str(""),
            Zero::Number => self.visitor.visit_u64(0),
            Zero::Bool => self.visitor.visit_bool(false),
            Zero::List => self.visitor.visit_seq(Nothing::<E>(std::marker::PhantomData)),
            Zero::Object => self.visitor.visit_map(Nothing::<E>(std::marker::PhantomData)),
            Zero::Unit => self.visitor.visit_unit(),
        }
    }

    fn visit_none<E: de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Go(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        if self.fields.is_some() {
            // Serde would fill the fields in their order.
            return Err(de::Error::invalid_type(Unexpected::Seq, &"an object"));
        }
        self.visitor.visit_seq(Elements { list, left: LIST_LEN_MAX })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Entries { map, fields: self.fields, left: LIST_LEN_MAX })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(data)
    }
}

struct Elements<A> {
    list: A,
    /// How many more may be asked for.
    left: usize,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.left = less(self.left)?;
        self.list.next_element_seed(Inside(seed))
    }
}

struct Entries<A> {
    map: A,
    fields: Option<&'static [&'static str]>,
    /// How many more entries may be asked for, where each one is kept.
    left: usize,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(fields) = self.fields else {
            self.left = less(self.left)?;
            return self.map.next_key_seed(seed);
        };
        let Some(key) = self.map.next_key::<Cow<'de, str>>()? else { return Ok(None) };
        match field_for(fields, &key) {
            Some(field) => seed.deserialize(BorrowedStrDeserializer::new(field)).map(Some),
            None => seed.deserialize(StringDeserializer::new(key.into_owned())).map(Some),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.map.next_value_seed(Inside(seed))
    }
}

fn less<E: de::Error>(left: usize) -> Result<usize, E> {
    left.checked_sub(1).ok_or_else(|| E::custom("a list is too long"))
}

/// Go's rule: the exact name, else the same name in another case.
fn field_for(fields: &'static [&'static str], key: &str) -> Option<&'static str> {
    let exact = fields.iter().find(|field| **field == key);
    exact.or_else(|| fields.iter().find(|field| field.eq_ignore_ascii_case(key))).copied()
}

/// Wraps the deserializer of a value inside a list or an object.
struct Inside<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Inside<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Go(deserializer))
    }
}

/// The empty list and the empty object.
struct Nothing<E>(std::marker::PhantomData<E>);

impl<'de, E: de::Error> SeqAccess<'de> for Nothing<E> {
    type Error = E;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, _: T) -> Result<Option<T::Value>, E> {
        Ok(None)
    }
}

impl<'de, E: de::Error> MapAccess<'de> for Nothing<E> {
    type Error = E;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, _: K) -> Result<Option<K::Value>, E> {
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, _: T) -> Result<T::Value, E> {
        Err(E::custom("an empty object has no values"))
    }
}
