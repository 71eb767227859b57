//! Forms with a file in them (`multipart/form-data`, RFC 7578), as browsers and OpenAI's clients send recordings.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use multer::{Constraints, Multipart, SizeLimit};

/// Parts of one form.
const PARTS_MAX: usize = 64;
/// One value that is no file.
const VALUE_BYTES_MAX: usize = 64 * 1024;
/// RFC 2046, §5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;
/// Longest name of a file that is kept.
const FILE_NAME_CHARS_MAX: usize = 120;

/// A form with at most one file.
#[derive(Debug, Default)]
pub struct Upload {
    pub file: Option<UploadedFile>,
    /// Names and values in the order they came; a name may come more than once.
    pub fields: Vec<(String, String)>,
}

/// The file of a form.
#[derive(Debug)]
pub struct UploadedFile {
    /// Name of the form's part; `file` in OpenAI's API.
    pub field: String,
    /// As the client calls it, without folders and control characters. Only good for showing and for its ending.
    pub name: String,
    /// As the client says; not checked.
    pub content_type: Option<String>,
    pub bytes: Bytes,
}

impl Upload {
    /// The first value of a name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| is_called(known, name)).map(|(_, value)| value.as_str())
    }

    /// Every value of a name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(known, _)| is_called(known, name)).map(|(_, value)| value.as_str()).collect()
    }
}

/// `name[]` is how OpenAI's clients write lists.
fn is_called(known: &str, name: &str) -> bool {
    known == name || known.strip_suffix("[]") == Some(name)
}

#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the body is no multipart/form-data with a boundary")]
    NoForm,
    #[error("the form has more than {PARTS_MAX} parts")]
    ManyParts,
    #[error("the form has more than one file")]
    ManyFiles,
    #[error("the field `{name}` is longer than {VALUE_BYTES_MAX} bytes")]
    LongValue { name: String },
    #[error("the field `{name}` is no UTF-8 text")]
    NoText { name: String },
    #[error("a part of the form has no name")]
    NoName,
    #[error("the form is cut off or damaged")]
    Damaged { source: multer::Error },
}

/// Takes a form apart. `content_type` is the header's value; `body` is whole, so its size was limited where it was read.
pub async fn read_upload(content_type: &str, body: Bytes) -> Result<Upload, UploadError> {
    let boundary = multer::parse_boundary(content_type).map_err(|_| UploadError::NoForm)?;
    if !(1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) {
        return Err(UploadError::NoForm);
    }
    let limits = Constraints::new().size_limit(SizeLimit::new().whole_stream(body.len() as u64));
    let body = stream::once(async move { Ok::<_, Infallible>(body) });
    let mut form = Multipart::with_constraints(body, boundary, limits);
    let mut upload = Upload::default();
    let mut parts_len = 0;
    while let Some(part) = form.next_field().await.map_err(|source| UploadError::Damaged { source })? {
        parts_len += 1;
        if parts_len > PARTS_MAX {
            return Err(UploadError::ManyParts);
        }
        take(&mut upload, part).await?;
    }
    Ok(upload)
}

async fn take(upload: &mut Upload, part: multer::Field<'_>) -> Result<(), UploadError> {
    let field = part.name().ok_or(UploadError::NoName)?.to_owned();
    let file_name = part.file_name().map(bare_name);
    let content_type = part.content_type().map(ToString::to_string);
    let bytes = part.bytes().await.map_err(|source| UploadError::Damaged { source })?;
    let Some(name) = file_name else {
        if bytes.len() > VALUE_BYTES_MAX {
            return Err(UploadError::LongValue { name: shown(&field) });
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| UploadError::NoText { name: shown(&field) })?;
        upload.fields.push((field, text.to_owned()));
        return Ok(());
    };
    if upload.file.is_some() {
        return Err(UploadError::ManyFiles);
    }
    upload.file = Some(UploadedFile { field, name, content_type, bytes });
    Ok(())
}

/// `C:\folder\a.wav` and `../a.wav` are `a.wav`.
fn bare_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars().filter(|character| !character.is_control()).take(FILE_NAME_CHARS_MAX).collect()
}

/// A stranger's word, fit for a sentence.
fn shown(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=XX";

    fn read(content_type: &str, body: &[u8]) -> Result<Upload, UploadError> {
        read_upload(content_type, Bytes::copy_from_slice(body)).now_or_never().expect("nothing to wait for")
    }

    fn part(head: &str, value: &[u8]) -> Vec<u8> {
        [b"--XX\r\nContent-Disposition: form-data; ", head.as_bytes(), b"\r\n\r\n", value, b"\r\n"].concat()
    }

    fn form(parts: &[Vec<u8>]) -> Vec<u8> {
        [parts.concat(), b"--XX--\r\n".to_vec()].concat()
    }

    #[test]
    fn a_form_has_a_file_and_fields() {
        let sound = [0, 13, 10, 45, 45, 88, 255];
        let body = form(&[
            part("name=\"model\"", b"whisper-tiny"),
            part("name=\"file\"; filename=\"C:\\temp\\../a b.wav\"\r\nContent-Type: audio/wav", &sound),
            part("name=\"timestamp_granularities[]\"", b"word"),
            part("name=\"timestamp_granularities[]\"", b"segment"),
        ]);
        let upload = read(TYPE, &body).expect("a form");
        let file = upload.file.as_ref().expect("a file");
        assert_eq!((file.field.as_str(), file.name.as_str()), ("file", "a b.wav"));
        assert_eq!((file.content_type.as_deref(), &file.bytes[..]), (Some("audio/wav"), &sound[..]));
        assert_eq!(upload.field("model"), Some("whisper-tiny"));
        assert_eq!(upload.all("timestamp_granularities"), ["word", "segment"]);
        assert_eq!(upload.field("language"), None);
    }

    #[test]
    fn a_quoted_boundary_is_one_too() {
        let body = form(&[part("name=\"a\"", b"b")]);
        let upload = read("multipart/form-data; charset=utf-8; boundary=\"XX\"", &body).expect("a form");
        assert_eq!(upload.field("a"), Some("b"));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let long = format!("multipart/form-data; boundary={}", "x".repeat(BOUNDARY_BYTES_MAX + 1));
        for content_type in
            ["", "audio/wav", "multipart/form-data", "multipart/mixed; boundary=XX", "a; boundary", &long]
        {
            assert!(matches!(read(content_type, b"--XX--"), Err(UploadError::NoForm)), "{content_type}");
        }
    }

    #[test]
    fn a_form_that_is_cut_off_is_refused_wherever_it_is_cut() {
        let body = form(&[part("name=\"a\"", b"b"), part("name=\"file\"; filename=\"a.wav\"", b"0123456789")]);
        let whole = body.len() - "--\r\n".len();
        for len in 0..whole {
            assert!(matches!(read(TYPE, &body[..len]), Err(UploadError::Damaged { .. })), "{len} bytes");
        }
        assert!(read(TYPE, &body).is_ok());
    }

    #[test]
    fn too_much_of_anything_is_refused() {
        let file = part("name=\"file\"; filename=\"a\"", b"");
        assert!(matches!(read(TYPE, &form(&[file.clone(), file])), Err(UploadError::ManyFiles)));
        let many = vec![part("name=\"a\"", b"b"); PARTS_MAX + 1];
        assert!(matches!(read(TYPE, &form(&many)), Err(UploadError::ManyParts)));
        assert!(read(TYPE, &form(&many[1..])).is_ok());
        let long = part("name=\"prompt\"", &vec![b'x'; VALUE_BYTES_MAX + 1]);
        assert!(matches!(read(TYPE, &form(&[long])), Err(UploadError::LongValue { name }) if name == "prompt"));
        let odd = part("name=\"prompt\"", &[0xff, 0xfe]);
        assert!(matches!(read(TYPE, &form(&[odd])), Err(UploadError::NoText { name }) if name == "prompt"));
        let nameless = b"--XX\r\nContent-Type: text/plain\r\n\r\nx\r\n--XX--\r\n";
        assert!(matches!(read(TYPE, nameless), Err(UploadError::NoName)));
    }

    proptest! {
        #[test]
        fn what_is_sent_arrives(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), name in "[a-z]{1,9}", value in "\\PC{0,40}"
        ) {
            prop_assume!(!bytes.windows(4).any(|window| window == b"--XX"));
            let body = form(&[part(&format!("name=\"{name}\""), value.as_bytes()), part("name=\"file\"; filename=\"f\"", &bytes)]);
            let upload = read(TYPE, &body).expect("a form");
            prop_assert_eq!(upload.field(&name), Some(value.as_str()));
            prop_assert_eq!(&upload.file.expect("a file").bytes[..], &bytes[..]);
        }

        #[test]
        fn no_body_makes_it_panic(mut body in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..120, byte: u8) {
            let _ = read(TYPE, &body);
            let mut near = form(&[part("name=\"a\"; filename=\"b\"", &body)]);
            let at = at % near.len();
            near[at] = byte;
            let _ = read(TYPE, &near);
            body.truncate(60);
            let _ = read(&format!("multipart/form-data; boundary={}", String::from_utf8_lossy(&body)), &near);
        }
    }
}
