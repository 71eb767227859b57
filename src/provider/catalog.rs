//! From `provider/model` to an address and a key (specification §10.1).

use reqwest::Url;

use crate::base::secret::Secret;
use crate::domain::message::Route;
use crate::link::http::is_local_host;

/// A provider: id, other names, address.
struct Known {
    id: &'static str,
    aliases: &'static [&'static str],
    base: &'static str,
}

const KNOWN: &[Known] = &[
    Known { id: "anthropic", aliases: &["claude"], base: "https://api.anthropic.com/v1" },
    Known { id: "openai", aliases: &[], base: "https://api.openai.com/v1" },
    Known { id: "openrouter", aliases: &[], base: "https://openrouter.ai/api/v1" },
    Known { id: "deepseek", aliases: &[], base: "https://api.deepseek.com/v1" },
    Known { id: "groq", aliases: &[], base: "https://api.groq.com/openai/v1" },
    Known { id: "xai", aliases: &["grok"], base: "https://api.x.ai/v1" },
    Known { id: "gemini", aliases: &["google"], base: "https://generativelanguage.googleapis.com/v1beta/openai" },
    Known { id: "vllm", aliases: &[], base: "" },
    Known { id: "scalyticsCopilot", aliases: &["scalytics-copilot", "copilot"], base: "" },
    Known { id: "ollama", aliases: &[], base: "http://127.0.0.1:11434/v1" },
    Known { id: "llamacpp", aliases: &["llama.cpp"], base: "http://127.0.0.1:8080/v1" },
];

/// Providers whose logins live in a vendor's own program.
const OTHERS: [&str; 4] = ["openai-codex", "codex", "gemini-cli", "claude-cli"];

/// The provider that is this house.
const HERE: &str = "local";

/// Where a model is and how it is called there.
#[derive(Clone, PartialEq, Debug)]
pub struct Endpoint {
    pub provider: String,
    /// As the provider calls it.
    pub model: String,
    /// None for a model that runs in this house's own engines.
    pub base: Option<Url>,
    /// Empty where none is wanted.
    pub key: Secret<String>,
    pub route: Route,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CatalogError {
    #[error(
        "{provider} is a login of another program; use its plain API (openai, gemini, anthropic) with a key instead"
    )]
    OtherProgram { provider: String },
    #[error("no address is known for {provider}; set providers.{provider}.apiBase")]
    NoBase { provider: String },
    #[error("{model} has no key; set providers.{provider}.apiKey")]
    NoKey { provider: String, model: String },
    #[error("providers.{provider}.apiBase is not an address")]
    Base { provider: String },
    #[error("a model is named provider/model")]
    Name,
}

/// Finds `name`. `configured` gives key and address of a provider by its id, both perhaps empty.
pub fn resolve(
    name: &str,
    configured: impl Fn(&str) -> Option<(Secret<String>, String)>,
) -> Result<Endpoint, CatalogError> {
    let (prefix, rest) = name.split_once('/').unwrap_or(("openai", name));
    if rest.is_empty() || prefix.is_empty() {
        return Err(CatalogError::Name);
    }
    if prefix == HERE {
        return Ok(Endpoint {
            provider: HERE.to_owned(),
            model: rest.to_owned(),
            base: None,
            key: Secret::default(),
            route: Route::Local,
        });
    }
    if OTHERS.contains(&prefix) {
        return Err(CatalogError::OtherProgram { provider: prefix.to_owned() });
    }
    let known = KNOWN.iter().find(|known| known.id.eq_ignore_ascii_case(prefix) || known.aliases.contains(&prefix));
    let id = known.map_or(prefix, |known| known.id);
    let (key, own_base) = configured(id).unwrap_or_default();
    if known.is_none() && own_base.is_empty() && configured("openai").is_some_and(|(_, base)| !base.is_empty()) {
        // KafClaw's way: what names no provider is a name as the server behind OPENAI_API_BASE knows it.
        return resolve(&format!("openai/{name}"), configured);
    }
    let base = if own_base.is_empty() { known.map_or("", |known| known.base) } else { &own_base };
    if base.is_empty() {
        return Err(CatalogError::NoBase { provider: id.to_owned() });
    }
    let base = Url::parse(base).map_err(|_| CatalogError::Base { provider: id.to_owned() })?;
    let route = if is_local_host(&base) { Route::Local } else { Route::Remote };
    // Only a provider's own address surely wants a key; a server of one's own may do without.
    if key.is_empty() && own_base.is_empty() && route == Route::Remote {
        return Err(CatalogError::NoKey { provider: id.to_owned(), model: name.to_owned() });
    }
    Ok(Endpoint { provider: id.to_owned(), model: rest.to_owned(), base: Some(base), key, route })
}

impl Endpoint {
    /// `provider/model`, for people.
    pub fn name(&self) -> String {
        format!("{}/{}", self.provider, self.model)
    }
}

/// Where completions are asked for at a server.
pub(super) fn completions(base: &Url) -> Url {
    let mut url = base.clone();
    let path = format!("{}/chat/completions", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(name: &str) -> Result<(String, String, Route), CatalogError> {
        let configured = |id: &str| match id {
            "anthropic" | "openrouter" => Some((Secret::new("k".to_owned()), String::new())),
            "vllm" => Some((Secret::default(), "http://192.168.1.9:8000/v1/".to_owned())),
            _ => None,
        };
        let endpoint = resolve(name, configured)?;
        let url = endpoint.base.as_ref().map(|base| completions(base).to_string()).unwrap_or_default();
        Ok((url, endpoint.model, endpoint.route))
    }

    #[test]
    fn names_become_addresses_and_prefixes_are_dropped() {
        for (name, url, model, route) in [
            (
                "claude/claude-sonnet-4-5",
                "https://api.anthropic.com/v1/chat/completions",
                "claude-sonnet-4-5",
                Route::Remote,
            ),
            (
                "openrouter/anthropic/claude",
                "https://openrouter.ai/api/v1/chat/completions",
                "anthropic/claude",
                Route::Remote,
            ),
            ("ollama/llama3.2:1b", "http://127.0.0.1:11434/v1/chat/completions", "llama3.2:1b", Route::Local),
            ("local/qwen2.5-0.5b-instruct", "", "qwen2.5-0.5b-instruct", Route::Local),
            ("vllm/qwen", "http://192.168.1.9:8000/v1/chat/completions", "qwen", Route::Local),
        ] {
            assert_eq!(find(name), Ok((url.to_owned(), model.to_owned(), route)), "{name}");
        }
    }

    #[test]
    fn names_of_no_provider_belong_to_ones_own_openai_server() {
        let configured = |id: &str| (id == "openai").then(|| (Secret::default(), "http://10.0.0.2/v1".to_owned()));
        let endpoint = resolve("meta-llama/Llama-3", configured).expect("an endpoint");
        assert_eq!((endpoint.name(), endpoint.route), ("openai/meta-llama/Llama-3".to_owned(), Route::Local));
    }

    #[test]
    fn what_is_missing_is_named_with_its_key() {
        assert_eq!(
            find("openai/gpt-5").expect_err("no key").to_string(),
            "openai/gpt-5 has no key; set providers.openai.apiKey"
        );
        assert_eq!(
            find("mine/x").expect_err("no base").to_string(),
            "no address is known for mine; set providers.mine.apiBase"
        );
        assert!(matches!(find("gemini-cli/x"), Err(CatalogError::OtherProgram { .. })));
        assert_eq!(find("openai/"), Err(CatalogError::Name));
    }
}
