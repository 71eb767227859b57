//! `POST /v1/embeddings`: texts to vectors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::Api;
use crate::api::port::Purpose;
use crate::api::v1::error::{self, Wrong};
use crate::http::{Request, Response};

/// Texts in one request; OpenAI's limit.
const TEXTS_MAX: usize = 2048;

/// Unknown fields are other servers' and are let pass.
#[derive(Deserialize)]
struct Body {
    input: Value,
    #[serde(default)]
    model: String,
    #[serde(default)]
    encoding_format: Option<String>,
    #[serde(default)]
    dimensions: Option<usize>,
    /// `query` or `passage`; not OpenAI's, but of many other servers.
    #[serde(default)]
    input_type: Option<String>,
}

#[derive(Clone, Copy)]
enum Encoding {
    Float,
    Base64,
}

pub(super) async fn create(api: &Api, request: &Request) -> Response {
    let body: Body = match serde_json::from_slice(&request.body) {
        Ok(body) => body,
        Err(problem) => return Wrong::new("", format!("the body is not as it should be: {problem}")).response(),
    };
    let checked = texts(&body.input).and_then(|texts| Ok((texts, encoding(&body)?, purpose(&body)?)));
    let (texts, encoding, purpose) = match checked {
        Ok(checked) => checked,
        Err(wrong) => return wrong.response(),
    };
    let embedded = tokio::select! {
        embedded = api.embeddings.embed(&body.model, texts, purpose) => embedded,
        () = request.left.triggered() => return error::failed(503, "nobody waits for the answer"),
    };
    let embedded = match embedded {
        Ok(embedded) => embedded,
        Err(refusal) => return error::refused(&refusal),
    };
    let mut data = Vec::with_capacity(embedded.vectors.len());
    for (index, vector) in embedded.vectors.into_iter().enumerate() {
        let vector = match shortened(vector, body.dimensions) {
            Ok(vector) => vector,
            Err(wrong) => return wrong.response(),
        };
        data.push(json!({"object": "embedding", "index": index, "embedding": written(&vector, encoding)}));
    }
    let usage = json!({"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens});
    Response::json(&json!({"object": "list", "data": data, "model": embedded.model, "usage": usage}))
}

fn texts(input: &Value) -> Result<Vec<String>, Wrong> {
    let wrong = |sentence: &str| Err(Wrong::new("input", sentence));
    let texts: Vec<String> = match input {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) if items.iter().any(|item| item.is_number() || item.is_array()) => {
            return wrong("tokens are not taken, because each model has its own; send the text");
        }
        Value::Array(items) => match items.iter().map(|item| item.as_str().map(str::to_owned)).collect() {
            Some(texts) => texts,
            None => return wrong("`input` is a text or a list of texts"),
        },
        _ => return wrong("`input` is a text or a list of texts"),
    };
    if texts.is_empty() || texts.len() > TEXTS_MAX {
        return wrong(&format!("`input` has {} texts; 1 to {TEXTS_MAX} are taken", texts.len()));
    }
    if texts.iter().any(|text| text.trim().is_empty()) {
        return wrong("a text of `input` is empty");
    }
    Ok(texts)
}

fn encoding(body: &Body) -> Result<Encoding, Wrong> {
    match body.encoding_format.as_deref() {
        None | Some("float") => Ok(Encoding::Float),
        Some("base64") => Ok(Encoding::Base64),
        Some(_) => Err(Wrong::new("encoding_format", "`encoding_format` is float or base64")),
    }
}

fn purpose(body: &Body) -> Result<Purpose, Wrong> {
    match body.input_type.as_deref() {
        Some("query" | "search_query") => Ok(Purpose::Question),
        None | Some("passage" | "document" | "search_document") => Ok(Purpose::Passage),
        Some(_) => Err(Wrong::new("input_type", "`input_type` is query or passage")),
    }
}

/// The beginning of a vector, of length one again.
fn shortened(mut vector: Vec<f32>, dimensions: Option<usize>) -> Result<Vec<f32>, Wrong> {
    let Some(dimensions) = dimensions.filter(|dimensions| *dimensions != vector.len()) else { return Ok(vector) };
    if dimensions == 0 || dimensions > vector.len() {
        let sentence = format!("`dimensions` is {dimensions}; this model has 1 to {}", vector.len());
        return Err(Wrong::new("dimensions", sentence));
    }
    vector.truncate(dimensions);
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    Ok(vector)
}

/// Numbers, or their 32-bit floats in little endian as OpenAI's clients ask for by themselves.
fn written(vector: &[f32], encoding: Encoding) -> Value {
    match encoding {
        Encoding::Float => json!(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
            Value::String(STANDARD.encode(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_and_tokens_are_refused() {
        assert_eq!(texts(&json!("a")), Ok(vec!["a".to_owned()]));
        assert_eq!(texts(&json!(["a", "b"])).map(|texts| texts.len()), Ok(2));
        for (input, part) in [
            (json!([1, 2]), "tokens are not taken"),
            (json!([[1, 2]]), "tokens are not taken"),
            (json!([]), "has 0 texts"),
            (json!(["a", " "]), "is empty"),
            (json!(["a", null]), "a list of texts"),
            (json!({"a": 1}), "a list of texts"),
        ] {
            let wrong = texts(&input).expect_err("refused");
            assert!(wrong.sentence.contains(part), "{input}: {}", wrong.sentence);
        }
    }

    #[test]
    fn shortened_vectors_have_length_one_and_base64_is_little_endian() {
        assert_eq!(shortened(vec![0.6, 0.0, 0.8], Some(2)), Ok(vec![1.0, 0.0]));
        assert_eq!(shortened(vec![0.6, 0.8], Some(2)), Ok(vec![0.6, 0.8]));
        assert!(shortened(vec![0.6, 0.8], Some(3)).is_err() && shortened(vec![1.0], Some(0)).is_err());
        assert_eq!(written(&[1.0, -2.0], Encoding::Base64), "AACAPwAAAMA=");
    }
}
