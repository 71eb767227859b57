//! Keys about the ways people reach the assistant.

use crate::config::key::{Key, Kind, TEXTS, WEB, flag, key, optional, text};

const SCOPES: Kind = Kind::OneOf(&["channel", "account", "room", "thread", "user"]);
const DM: Kind = Kind::OneOf(&["disabled", "open", "allowlist", "pairing"]);
const GROUP: Kind = Kind::OneOf(&["disabled", "open", "allowlist"]);
const STREAM: Kind = Kind::OneOf(&["replace", "status_final", "append"]);

pub const SINGLE: &[Key] = &[
    flag("channels.telegram.enabled", "false", "Whether Telegram is used.")
        .also(&["CHANNELS_TELEGRAM_TELEGRAM_ENABLED"]),
    text("channels.telegram.token", "", "Bot token of Telegram.").secret().also(&["CHANNELS_TELEGRAM_TELEGRAM_TOKEN"]),
    key("channels.telegram.allowFrom", TEXTS, "", "Senders who are answered.").also(&["CHANNELS_TELEGRAM_ALLOWFROM"]),
    text("channels.telegram.proxy", "", "Proxy for Telegram.").also(&["CHANNELS_TELEGRAM_TELEGRAM_PROXY"]),
    flag("channels.discord.enabled", "false", "Whether Discord is used.").also(&["CHANNELS_DISCORD_DISCORD_ENABLED"]),
    text("channels.discord.token", "", "Bot token of Discord.").secret().also(&["CHANNELS_DISCORD_DISCORD_TOKEN"]),
    key("channels.discord.allowFrom", TEXTS, "", "Senders who are answered.").also(&["CHANNELS_DISCORD_ALLOWFROM"]),
    flag("channels.feishu.enabled", "false", "Whether Feishu is used.").also(&["CHANNELS_FEISHU_FEISHU_ENABLED"]),
    text("channels.feishu.appId", "", "Feishu's application id.").also(&["CHANNELS_FEISHU_FEISHU_APP_ID"]),
    text("channels.feishu.appSecret", "", "Feishu's application secret.")
        .secret()
        .also(&["CHANNELS_FEISHU_FEISHU_APP_SECRET"]),
    text("channels.feishu.encryptKey", "", "Key that Feishu encrypts events with.")
        .secret()
        .also(&["CHANNELS_FEISHU_FEISHU_ENCRYPT_KEY"]),
    text("channels.feishu.verificationToken", "", "Token that Feishu proves itself with.")
        .secret()
        .also(&["CHANNELS_FEISHU_FEISHU_VERIFICATION_TOKEN"]),
    key("channels.feishu.allowFrom", TEXTS, "", "Senders who are answered.").also(&["CHANNELS_FEISHU_ALLOWFROM"]),
    flag("channels.whatsapp.enabled", "false", "Whether WhatsApp is used.")
        .also(&["CHANNELS_WHATSAPP_WHATSAPP_ENABLED"]),
    key("channels.whatsapp.bridgeUrl", Kind::Url(&["http", "https", "ws", "wss"]), "", "Address of a WhatsApp bridge.")
        .also(&["CHANNELS_WHATSAPP_WHATSAPP_BRIDGE_URL"]),
    key("channels.whatsapp.allowFrom", TEXTS, "", "Numbers that are answered.").also(&["CHANNELS_WHATSAPP_ALLOWFROM"]),
    flag("channels.whatsapp.dropUnauthorized", "false", "Whether messages of strangers are dropped unread.")
        .also(&["CHANNELS_WHATSAPP_WHATSAPP_DROP_UNAUTHORIZED"]),
    flag("channels.whatsapp.ignoreReactions", "false", "Whether reactions are dropped.")
        .also(&["CHANNELS_WHATSAPP_WHATSAPP_IGNORE_REACTIONS"]),
    key("channels.whatsapp.sessionScope", SCOPES, "room", "What shares one conversation.")
        .also(&["CHANNELS_WHATSAPP_WHATSAPP_SESSION_SCOPE"]),
    flag("channels.slack.enabled", "false", "Whether Slack is used.").also(&["CHANNELS_SLACK_SLACK_ENABLED"]),
    text("channels.slack.botToken", "", "Slack's bot token.").secret().also(&["CHANNELS_SLACK_SLACK_BOT_TOKEN"]),
    text("channels.slack.appToken", "", "Slack's application token.")
        .secret()
        .also(&["CHANNELS_SLACK_SLACK_APP_TOKEN"]),
    text("channels.slack.inboundToken", "", "Token the bridge presents for Slack.")
        .secret()
        .also(&["CHANNELS_SLACK_SLACK_INBOUND_TOKEN"]),
    key("channels.slack.outboundUrl", Kind::Url(WEB), "", "Bridge address for answers to Slack.")
        .also(&["CHANNELS_SLACK_SLACK_OUTBOUND_URL"]),
    flag("channels.slack.nativeStreaming", "true", "Whether Slack's own streaming is used.")
        .also(&["CHANNELS_SLACK_SLACK_NATIVE_STREAMING"]),
    key("channels.slack.streamMode", STREAM, "replace", "How a growing answer is shown.")
        .also(&["CHANNELS_SLACK_SLACK_STREAM_MODE"]),
    key("channels.slack.streamChunkChars", Kind::Count(100_000), "320", "Characters per step of a growing answer.")
        .also(&["CHANNELS_SLACK_SLACK_STREAM_CHUNK_CHARS"]),
    key("channels.slack.sessionScope", SCOPES, "room", "What shares one conversation.")
        .also(&["CHANNELS_SLACK_SLACK_SESSION_SCOPE"]),
    key("channels.slack.allowFrom", TEXTS, "", "Senders who are answered.").also(&["CHANNELS_SLACK_ALLOWFROM"]),
    key("channels.slack.dmPolicy", DM, "pairing", "Who may write directly.").also(&["CHANNELS_SLACK_DMPOLICY"]),
    key("channels.slack.groupPolicy", GROUP, "allowlist", "Who may write in channels.")
        .also(&["CHANNELS_SLACK_GROUPPOLICY"]),
    flag("channels.slack.requireMention", "true", "Whether a message in a channel must mention the bot.")
        .also(&["CHANNELS_SLACK_SLACK_REQUIRE_MENTION"]),
    flag("channels.msteams.enabled", "false", "Whether Teams is used.").also(&["CHANNELS_MSTEAMS_MSTEAMS_ENABLED"]),
    text("channels.msteams.appId", "", "Teams' application id.").also(&["CHANNELS_MSTEAMS_MSTEAMS_APP_ID"]),
    text("channels.msteams.appPassword", "", "Teams' application password.")
        .secret()
        .also(&["CHANNELS_MSTEAMS_MSTEAMS_APP_PASSWORD"]),
    text("channels.msteams.tenantId", "", "Teams' tenant.").also(&["CHANNELS_MSTEAMS_MSTEAMS_TENANT_ID"]),
    text("channels.msteams.inboundToken", "", "Token the bridge presents for Teams.")
        .secret()
        .also(&["CHANNELS_MSTEAMS_MSTEAMS_INBOUND_TOKEN"]),
    key("channels.msteams.outboundUrl", Kind::Url(WEB), "", "Bridge address for answers to Teams.")
        .also(&["CHANNELS_MSTEAMS_MSTEAMS_OUTBOUND_URL"]),
    key("channels.msteams.sessionScope", SCOPES, "room", "What shares one conversation.")
        .also(&["CHANNELS_MSTEAMS_MSTEAMS_SESSION_SCOPE"]),
    key("channels.msteams.allowFrom", TEXTS, "", "Senders who are answered.").also(&["CHANNELS_MSTEAMS_ALLOWFROM"]),
    key("channels.msteams.groupAllowFrom", TEXTS, "", "Senders or places that are answered in channels.")
        .also(&["CHANNELS_MSTEAMS_GROUPALLOWFROM"]),
    key("channels.msteams.dmPolicy", DM, "pairing", "Who may write directly.").also(&["CHANNELS_MSTEAMS_DMPOLICY"]),
    key("channels.msteams.groupPolicy", GROUP, "allowlist", "Who may write in channels.")
        .also(&["CHANNELS_MSTEAMS_GROUPPOLICY"]),
    flag("channels.msteams.requireMention", "true", "Whether a message in a channel must mention the bot.")
        .also(&["CHANNELS_MSTEAMS_MSTEAMS_REQUIRE_MENTION"]),
];

/// Named accounts: blank values inherit the channel's own, so they have no defaults of their own.
pub const ACCOUNTS: &[Key] = &[
    text("channels.slack.accounts[].id", "", "Name of this Slack account."),
    flag("channels.slack.accounts[].enabled", "false", "Whether this account is used."),
    text("channels.slack.accounts[].botToken", "", "Bot token of this account.").secret(),
    text("channels.slack.accounts[].appToken", "", "Application token of this account.").secret(),
    text("channels.slack.accounts[].inboundToken", "", "Token the bridge presents for this account.").secret(),
    key("channels.slack.accounts[].outboundUrl", Kind::Url(WEB), "", "Bridge address of this account."),
    optional(
        "channels.slack.accounts[].nativeStreaming",
        Kind::Flag,
        "Whether Slack's own streaming is used; absent inherits.",
    ),
    optional("channels.slack.accounts[].streamMode", STREAM, "How a growing answer is shown; absent inherits."),
    optional(
        "channels.slack.accounts[].streamChunkChars",
        Kind::Count(100_000),
        "Characters per step; absent inherits.",
    ),
    optional("channels.slack.accounts[].sessionScope", SCOPES, "What shares one conversation; absent inherits."),
    key("channels.slack.accounts[].allowFrom", TEXTS, "", "Senders who are answered; blank inherits."),
    optional("channels.slack.accounts[].dmPolicy", DM, "Who may write directly; absent inherits."),
    optional("channels.slack.accounts[].groupPolicy", GROUP, "Who may write in channels; absent inherits."),
    flag("channels.slack.accounts[].requireMention", "false", "Whether a message in a channel must mention the bot."),
    text("channels.msteams.accounts[].id", "", "Name of this Teams account."),
    flag("channels.msteams.accounts[].enabled", "false", "Whether this account is used."),
    text("channels.msteams.accounts[].appId", "", "Application id of this account."),
    text("channels.msteams.accounts[].appPassword", "", "Application password of this account.").secret(),
    text("channels.msteams.accounts[].tenantId", "", "Tenant of this account."),
    text("channels.msteams.accounts[].inboundToken", "", "Token the bridge presents for this account.").secret(),
    key("channels.msteams.accounts[].outboundUrl", Kind::Url(WEB), "", "Bridge address of this account."),
    optional("channels.msteams.accounts[].sessionScope", SCOPES, "What shares one conversation; absent inherits."),
    key("channels.msteams.accounts[].allowFrom", TEXTS, "", "Senders who are answered; blank inherits."),
    key(
        "channels.msteams.accounts[].groupAllowFrom",
        TEXTS,
        "",
        "Senders or places answered in channels; blank inherits.",
    ),
    optional("channels.msteams.accounts[].dmPolicy", DM, "Who may write directly; absent inherits."),
    optional("channels.msteams.accounts[].groupPolicy", GROUP, "Who may write in channels; absent inherits."),
    flag("channels.msteams.accounts[].requireMention", "false", "Whether a message in a channel must mention the bot."),
];
