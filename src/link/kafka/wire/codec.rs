//! Kafka's primitive types, big-endian, in their forms before "flexible versions" (Kafka protocol guide, "Protocol Primitive Types").

/// Bytes that are not what they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CodecError {
    #[error("the answer ends too soon")]
    Short,
    #[error("the answer announces a length that cannot be")]
    Length,
    #[error("a text in the answer is not UTF-8")]
    Text,
}

/// Reads from the front; whatever is announced must be there before anything is kept.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(CodecError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(CodecError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn flag(&mut self) -> Result<bool, CodecError> {
        Ok(self.fixed::<1>()? != [0])
    }

    pub fn i16(&mut self) -> Result<i16, CodecError> {
        self.fixed().map(i16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, CodecError> {
        self.fixed().map(i32::from_be_bytes)
    }

    /// `NULLABLE_STRING`.
    pub fn text(&mut self) -> Result<Option<&'a str>, CodecError> {
        let len = self.i16()?;
        if len == -1 {
            return Ok(None);
        }
        let len = usize::try_from(len).map_err(|_| CodecError::Length)?;
        std::str::from_utf8(self.take(len)?).map(Some).map_err(|_| CodecError::Text)
    }

    /// `NULLABLE_BYTES`; none is empty.
    pub fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let len = self.i32()?;
        if len == -1 {
            return Ok(&[]);
        }
        self.take(usize::try_from(len).map_err(|_| CodecError::Length)?)
    }

    /// `ARRAY`; none is empty. Memory grows with what is read, not with what is announced.
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T, CodecError>) -> Result<Vec<T>, CodecError> {
        let count = self.i32()?;
        if count < -1 {
            return Err(CodecError::Length);
        }
        let mut items = Vec::new();
        for _ in 0..count.max(0) {
            items.push(item(self)?);
        }
        Ok(items)
    }
}

/// Writes at the end.
#[derive(Clone, Default, Debug)]
pub struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    pub fn flag(&mut self, value: bool) -> &mut Self {
        self.bytes.push(u8::from(value));
        self
    }

    pub fn i16(&mut self, value: i16) -> &mut Self {
        self.bytes.extend(value.to_be_bytes());
        self
    }

    pub fn i32(&mut self, value: i32) -> &mut Self {
        self.bytes.extend(value.to_be_bytes());
        self
    }

    /// `STRING`; what is longer than the type can say is cut.
    pub fn text(&mut self, value: &str) -> &mut Self {
        let len = value.floor_char_boundary(i16::MAX as usize);
        self.i16(i16::try_from(len).unwrap_or(i16::MAX));
        self.bytes.extend(&value.as_bytes()[..len]);
        self
    }

    /// `BYTES`.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
        self.bytes.extend(value);
        self
    }

    /// `ARRAY`.
    pub fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) -> &mut Self {
        self.i32(i32::try_from(items.len()).unwrap_or(i32::MAX));
        for each in items {
            item(self, each);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_before_memory_is_taken() {
        assert_eq!(Reader::new(&[0x7F, 0xFF, 0xFF, 0xFF]).bytes(), Err(CodecError::Short));
        assert_eq!(Reader::new(&[0xFF, 0xFF, 0xFF, 0xFE]).bytes(), Err(CodecError::Length));
        assert_eq!(Reader::new(&[0xFF, 0xFE]).text(), Err(CodecError::Length));
        assert_eq!(Reader::new(&[0, 1, 0xFF]).text(), Err(CodecError::Text));
        let hostile = [0x7F, 0xFF, 0xFF, 0xFF, 0, 0];
        assert_eq!(Reader::new(&hostile).list(Reader::i32), Err(CodecError::Short));
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(number: i32, small: i16, flag: bool, text in ".{0,40}", bytes: Vec<u8>, list: Vec<i32>) {
            let mut writer = Writer::default();
            writer.i32(number).i16(small).flag(flag).text(&text).bytes(&bytes).list(&list, |writer, item| {
                writer.i32(*item);
            });
            let mut reader = Reader::new(&writer.bytes);
            proptest::prop_assert_eq!(reader.i32(), Ok(number));
            proptest::prop_assert_eq!(reader.i16(), Ok(small));
            proptest::prop_assert_eq!(reader.flag(), Ok(flag));
            proptest::prop_assert_eq!(reader.text(), Ok(Some(text.as_str())));
            proptest::prop_assert_eq!(reader.bytes(), Ok(bytes.as_slice()));
            proptest::prop_assert_eq!(reader.list(Reader::i32), Ok(list));
            proptest::prop_assert_eq!(reader.flag(), Err(CodecError::Short));
        }
    }
}
