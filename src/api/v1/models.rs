//! `GET /v1/models`: what can be asked.

use serde_json::{Value, json};

use crate::api::Api;
use crate::api::port::{Reason, Refusal};
use crate::api::v1::{ASSISTANT, error};
use crate::http::Response;

pub(super) async fn list(api: &Api) -> Response {
    let models: Vec<Value> = names(api).await.iter().map(|name| shown(name)).collect();
    Response::json(&json!({"object": "list", "data": models}))
}

pub(super) async fn one(api: &Api, name: &str) -> Response {
    if names(api).await.iter().any(|known| known == name) {
        return Response::json(&shown(name));
    }
    error::refused(&unknown(name))
}

pub(super) fn unknown(name: &str) -> Refusal {
    let name: String = name.chars().filter(|character| !character.is_control()).take(80).collect();
    let sentence = format!("there is no model `{name}` here; GET /v1/models lists those that can be asked");
    Refusal::new(Reason::NoModel, sentence)
}

async fn names(api: &Api) -> Vec<String> {
    let mut names = vec![ASSISTANT.to_owned()];
    names.extend(api.models.ids().await);
    names
}

fn shown(name: &str) -> Value {
    json!({"id": name, "object": "model", "created": 0, "owned_by": "kafclaw"})
}
