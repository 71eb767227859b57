//! Memories as text for a terminal. Pure.

use serde_json::Value;

use crate::cli::show::{count, field, one_line, printable, size, table, time};

/// Shown of one memory, in characters.
const TEXT_CHARS_MAX: usize = 300;

pub(super) fn found(answer: &Value) -> String {
    let mut text = String::new();
    for hit in answer["results"].as_array().into_iter().flatten() {
        let percent = hit["relevance"].as_f64().unwrap_or_default() * 100.0;
        let (source, id) = (one_line(&field(hit, "source")), field(hit, "id"));
        text.push_str(&format!("{percent:>3.0}%  {source}  {}  {id}\n", time(hit, "created_at")));
        for line in shortened(&field(hit, "content")).lines() {
            text.push_str(&format!("      {line}\n"));
        }
    }
    if text.is_empty() { "Nothing was found.".to_owned() } else { text }
}

pub(super) fn chunks(list: &Value) -> String {
    let row = |hit: &Value| [field(hit, "id"), field(hit, "source"), time(hit, "created_at"), field(hit, "content")];
    let rows: Vec<[String; 4]> = list.as_array().into_iter().flatten().map(row).collect();
    match rows.is_empty() {
        true => "Nothing is remembered here yet.".to_owned(),
        false => table(["ID", "SOURCE", "SINCE", "TEXT"], &rows),
    }
}

pub(super) fn documents(list: &Value) -> String {
    let row = |document: &Value| {
        let bytes = size(document["bytes"].as_u64().unwrap_or(0));
        [
            field(document, "path"),
            field(document, "title"),
            bytes,
            field(document, "chunk_count"),
            time(document, "updated_at"),
        ]
    };
    let rows: Vec<[String; 5]> = list.as_array().into_iter().flatten().map(row).collect();
    match rows.is_empty() {
        true => "No documents yet; `kafclaw memory add FILE` brings one.".to_owned(),
        false => table(["DOCUMENT", "TITLE", "SIZE", "PIECES", "ADDED"], &rows),
    }
}

pub(super) fn stats(status: &Value, embedding: &Value) -> String {
    let totals = &status["totals"];
    let whole = |value: &Value| value.as_u64().unwrap_or(0);
    let mut text = format!(
        "{} of at most {}\n\n",
        count(whole(&totals["total_chunks"]), "memory").replace("memorys", "memories"),
        totals["max_chunks"]
    );
    let mut rows: Vec<[String; 3]> =
        vec![["user".to_owned(), field(totals, "user_chunks"), "What people told the house".to_owned()]];
    rows.extend(
        status["layers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|layer| [field(layer, "name"), field(layer, "chunk_count"), field(layer, "description")]),
    );
    text.push_str(&table(["LAYER", "CHUNKS", "WHAT"], &rows));
    let (index, runtime) = (&embedding["index"], &embedding["runtime"]);
    text.push_str(&format!(
        "\nBy meaning: {} of {} ({})\n",
        whole(&index["embeddedChunks"]),
        whole(&index["totalChunks"]),
        printable(&field(runtime, "detail"))
    ));
    if let Some(failure) = index["progress"]["failure"].as_str() {
        text.push_str(&format!("Waits:      {}\n", printable(failure)));
    }
    text
}

fn shortened(text: &str) -> String {
    let text = printable(text);
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hits_say_how_well_they_fit_and_where_they_come_from() {
        let answer = json!({"results": [{"id": "m1", "source": "document:/a\u{1b}.md", "relevance": 0.826, "content": "one\ntwo", "created_at": "x"}]});
        assert_eq!(found(&answer), " 83%  document:/a .md  x  m1\n      one\n      two\n");
        assert_eq!(found(&json!({"results": []})), "Nothing was found.");
    }

    #[test]
    fn figures_are_told_per_layer() {
        let status = json!({"totals": {"total_chunks": 3, "max_chunks": 50000, "user_chunks": 1},
            "layers": [{"name": "tool", "chunk_count": 2, "description": "Results"}]});
        let embedding = json!({"index": {"embeddedChunks": 2, "totalChunks": 3, "progress": {"failure": null}}, "runtime": {"detail": "ready"}});
        let text = stats(&status, &embedding);
        assert!(text.starts_with("3 memories of at most 50000\n\nLAYER  CHUNKS  WHAT\nuser   1"), "{text}");
        assert!(text.ends_with("By meaning: 2 of 3 (ready)\n"), "{text}");
    }
}
