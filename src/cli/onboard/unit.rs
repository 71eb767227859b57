//! The systemd unit of the gateway. Pure text.

use std::fmt::Write;
use std::path::Path;

/// Whose systemd runs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The system's, as this user.
    System { user: String },
    /// The one of the user who is logged in.
    User,
}

pub struct Unit<'a> {
    pub owner: Owner,
    pub program: &'a Path,
    pub home: &'a Path,
    pub state_dir: &'a Path,
    pub workspace: &'a Path,
    pub work_repo: &'a Path,
}

/// Hardening that needs the system's own systemd. Unknown lines are skipped by old versions.
const HARDENING: &str = "\
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
CapabilityBoundingSet=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
";

impl Unit<'_> {
    pub fn text(&self) -> String {
        let mut text = String::from(
            "[Unit]\nDescription=KafClaw Edge, the assistant of this home\nAfter=network.target mosquitto.service\n\
             StartLimitIntervalSec=0\n\n[Service]\nType=notify\nNotifyAccess=main\n",
        );
        let lines = |text: &mut String| {
            writeln!(text, "ExecStart={} gateway", quote(self.program, "$"))?;
            writeln!(text, "Environment={}", quote_text(&format!("KAFCLAW_HOME={}", self.home.display()), ""))?;
            if let Owner::System { user } = &self.owner {
                writeln!(text, "User={user}")?;
            }
            text.push_str("Restart=always\nRestartSec=2\nWatchdogSec=30\nTimeoutStopSec=10\nUMask=0077\n");
            text.push_str("LimitNOFILE=16384\nNoNewPrivileges=yes\nRestrictRealtime=yes\nRestrictSUIDSGID=yes\nLockPersonality=yes\n");
            if let Owner::System { .. } = self.owner {
                text.push_str(HARDENING);
                for folder in [self.state_dir, self.workspace, self.work_repo] {
                    writeln!(text, "ReadWritePaths={}", quote(folder, ""))?;
                }
            }
            let target = if self.owner == Owner::User { "default.target" } else { "multi-user.target" };
            writeln!(text, "\n[Install]\nWantedBy={target}")
        };
        lines(&mut text).expect("invariant: text can be written to");
        text
    }
}

fn quote(path: &Path, doubled: &str) -> String {
    quote_text(&path.display().to_string(), doubled)
}

/// In quotes as systemd reads them; `%` and what is in `doubled` stand for themselves when doubled.
fn quote_text(text: &str, doubled: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.push('\\'),
            '%' => quoted.push('%'),
            c if doubled.contains(c) => quoted.push(c),
            _ => {}
        }
        quoted.push(c);
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(owner: Owner) -> String {
        let unit = Unit {
            owner,
            program: Path::new("/opt/my $tools/kafclaw"),
            home: Path::new("/srv/100% home"),
            state_dir: Path::new("/srv/100% home/.kafclaw"),
            workspace: Path::new("/srv/100% home/W"),
            work_repo: Path::new("/srv/100% home/W"),
        };
        unit.text()
    }

    #[test]
    fn the_system_s_unit_is_hardened_and_may_write_where_it_must() {
        let text = unit(Owner::System { user: "kafclaw".to_owned() });
        for line in [
            "Type=notify",
            "WatchdogSec=30",
            "User=kafclaw",
            r#"ExecStart="/opt/my $$tools/kafclaw" gateway"#,
            r#"Environment="KAFCLAW_HOME=/srv/100%% home""#,
            r#"ReadWritePaths="/srv/100%% home/.kafclaw""#,
            "ProtectSystem=strict",
            "WantedBy=multi-user.target",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_user_s_unit_asks_for_nothing_a_user_may_not() {
        let text = unit(Owner::User);
        assert!(!text.contains("User=") && !text.contains("ProtectSystem") && text.contains("WantedBy=default.target"));
    }
}
