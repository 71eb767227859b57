//! The house itself: its gateway, its doors, its database, its brokers.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::db;
use crate::doctor::{Broker, Configuration, Finding, Gateway, Plan, kshark};

/// Longest wait for somebody on the home's own network.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Everything after a mistake is about defaults, so it is told first.
pub(super) fn configuration(it: &Configuration) -> Finding {
    let file = it.file.display();
    if it.mistakes.is_empty() {
        let detail =
            if it.is_there { format!("{file}") } else { format!("there is no {file}; defaults are in effect") };
        return Finding::pass("config", detail);
    }
    let advice = "mend what is named (`kafclaw config validate` checks it); until then the gateway does not start, and what follows is \
                  about default settings";
    Finding::fail("config", it.mistakes.join("; "), advice)
}

pub(super) fn gateway(plan: &Plan) -> Finding {
    match &plan.gateway {
        Gateway::Answers => Finding::pass("gateway", "it answers"),
        Gateway::Stopped => {
            let advice = "start it with `kafclaw gateway`, or, where it is a service, `systemctl start kafclaw-gateway` (`kafclaw` on an image of ours)";
            Finding::fail("gateway", "it is not running", advice)
        }
        Gateway::Troubled(why) => Finding::fail("gateway", why, "`journalctl -u 'kafclaw*'` says more"),
    }
}

/// With a gateway every door must be open; without one every port must be free.
pub(super) async fn doors(plan: &Plan) -> Finding {
    let names = |doors: &[&(&str, SocketAddr)]| {
        doors.iter().map(|(name, address)| format!("{name} {address}")).collect::<Vec<_>>().join(", ")
    };
    let all: Vec<&(&str, SocketAddr)> = plan.doors.iter().collect();
    let (mut closed, mut taken) = (Vec::new(), Vec::new());
    for door in &plan.doors {
        match plan.gateway {
            Gateway::Answers | Gateway::Troubled(_) => {
                if connect(&door.1.ip().to_string(), door.1.port()).await.is_err() {
                    closed.push(door);
                }
            }
            Gateway::Stopped => match TcpListener::bind(door.1) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => taken.push(door),
                _ => {}
            },
        }
    }
    if !closed.is_empty() {
        let advice = "restart the gateway; its log names the door and the reason";
        return Finding::fail("doors", format!("nothing answers on {}", names(&closed)), advice);
    }
    if let [door, ..] = taken[..]
        && is_gateway(door.1).await
    {
        let advice = "run this as the user who runs it, with the same KAFCLAW_HOME";
        return Finding::fail("doors", format!("a gateway of somebody else has {}", names(&taken)), advice);
    }
    if !taken.is_empty() {
        let advice = "stop the other program (`ss -ltnp` names it), or choose other ports with `kafclaw config set`";
        return Finding::fail("doors", format!("another program has {}", names(&taken)), advice);
    }
    Finding::pass("doors", names(&all))
}

/// Reads every page; a running gateway goes on meanwhile.
pub(super) fn database(path: &Path) -> Finding {
    if !path.exists() {
        return Finding::skip("database", "there is none yet");
    }
    match db::check_file(path) {
        Ok(None) => match &db::set_aside(path)[..] {
            [] => Finding::pass("database", format!("{} is whole", path.display())),
            [newest, ..] => {
                let advice = "copy it elsewhere, in case something of it is wanted, and take it away here; `kafclaw restore` brings back a backup";
                let detail = format!(
                    "{} is whole, and younger than the house: what happened before is in {}, which was set aside",
                    path.display(),
                    newest.display()
                );
                Finding::fail("database", detail, advice)
            }
        },
        Ok(Some(what)) => {
            let advice = "the gateway sets it aside at its next start; `kafclaw restore` brings back a backup";
            Finding::fail("database", format!("{} is damaged: {what}", path.display()), advice)
        }
        Err(error) => Finding::fail("database", chain(&error), "run this as the user that runs the gateway"),
    }
}

/// A broker that answers may still turn the gateway away, which only the gateway knows.
pub(super) async fn broker(broker: Option<&Broker>) -> Finding {
    let Some(Broker { host, port, session }) = broker else {
        return Finding::skip("mqtt", "no broker is configured; set mqtt.url to see your devices");
    };
    if let Err(error) = connect(host, *port).await {
        let advice = "check that the broker runs (`systemctl status mosquitto`) and that mqtt.url names it";
        return Finding::fail("mqtt", format!("{host}:{port}: {error}"), advice);
    }
    let Some(session) = session else {
        return Finding::pass("mqtt", format!("{host}:{port} answers; whom it lets in was not tried"));
    };
    match session.state.as_str() {
        "online" => Finding::pass("mqtt", format!("{host}:{port} answers, and the gateway is connected to it")),
        "off" => {
            let detail = format!("{host}:{port} answers, but the gateway was started without a broker");
            Finding::fail("mqtt", detail, "restart the gateway, so that it takes mqtt.url")
        }
        state => {
            let why = session.error.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            let advice = "check mqtt.username, mqtt.password and mqtt.caFile; the broker's log (`journalctl -u mosquitto`) says whom it \
                          turned away";
            Finding::fail("mqtt", format!("{host}:{port} answers, but the gateway is {state}{why}"), advice)
        }
    }
}

async fn connect(host: &str, port: u16) -> io::Result<()> {
    let connected = tokio::time::timeout(ANSWER_MAX, TcpStream::connect((host, port)));
    connected.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?.map(drop)
}

/// Whether what answers there is a gateway, which everybody may ask that.
async fn is_gateway(address: SocketAddr) -> bool {
    const HEAD_BYTES_MAX: u64 = 4 * 1024;
    let asked = async {
        let mut door = TcpStream::connect(address).await?;
        let request = format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        door.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        door.take(HEAD_BYTES_MAX).read_to_end(&mut answer).await?;
        io::Result::Ok(answer)
    };
    let Ok(Ok(answer)) = tokio::time::timeout(ANSWER_MAX, asked).await else { return false };
    let answer = String::from_utf8_lossy(&answer);
    answer.starts_with("HTTP/1.1 200") && answer.contains(r#""status":"ok""#)
}

/// The first step that fails; being away from the group is no failure of the house, but somebody who asks wants to know.
pub(super) async fn kafka(plan: &Result<Option<kshark::Plan>, String>, clock: &Clock) -> Finding {
    let plan = match plan {
        Ok(Some(plan)) => plan,
        Ok(None) => {
            return Finding::skip(
                "kafka",
                "no group is in the configuration (`kafclaw group status` tells of one that was joined without it)",
            );
        }
        Err(why) => return Finding::fail("kafka", why, "mend the keys of group that are named"),
    };
    let report = kshark::run(plan, clock).await;
    let failed = report.rows.iter().find(|row| row.status == kshark::Status::Fail);
    match failed {
        None => Finding::pass("kafka", "the group's broker answers"),
        Some(row) => {
            let hint = row.hint.clone().unwrap_or_else(|| "`kafclaw kshark --auto` looks at every step".to_owned());
            Finding::fail("kafka", format!("{} {}: {}", row.component, row.target, row.detail), hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{Config, Db};
    use crate::doctor::{Session, Verdict};

    #[test]
    fn a_database_is_read_whole_and_damage_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("timeline.db");
        assert_eq!(database(&path).verdict, Verdict::Skip);
        Db::open(&Config::at(&path), &[], &Clock::System).expect("a database").close();
        assert_eq!(database(&path).verdict, Verdict::Pass);
        let aside = folder.path().join("timeline.db.newer-7-20261122-100000000");
        std::fs::write(&aside, "").expect("written");
        let found = database(&path);
        assert!(found.verdict == Verdict::Fail && found.detail.contains("timeline.db.newer-7-"), "{}", found.detail);
        std::fs::remove_file(&aside).expect("taken away");
        std::fs::write(&path, "this was a database once, and is none any more ".repeat(40)).expect("written");
        assert_eq!(database(&path).verdict, Verdict::Fail);
    }

    #[tokio::test]
    async fn a_port_of_somebody_elses_gateway_is_told_from_another_programs() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}", true),
            ("HTTP/1.1 404 Not Found\r\n\r\n", false),
            ("220 mail.example.org ESMTP\r\n", false),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("an address");
            let server = std::thread::spawn(move || {
                let (mut door, _) = listener.accept().expect("somebody");
                let _ = std::io::Read::read(&mut door, &mut [0; 1024]);
                std::io::Write::write_all(&mut door, answer.as_bytes()).expect("answered");
            });
            assert_eq!(is_gateway(address).await, expected, "{answer}");
            server.join().expect("a server");
        }
    }

    #[tokio::test]
    async fn a_broker_answers_or_it_does_not() {
        assert_eq!(broker(None).await.verdict, Verdict::Skip);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let at = |session: Option<(&str, Option<&str>)>| {
            let session =
                session.map(|(state, error)| Session { state: state.to_owned(), error: error.map(str::to_owned) });
            Broker { host: "127.0.0.1".to_owned(), port, session }
        };
        assert_eq!(broker(Some(&at(None))).await.verdict, Verdict::Pass);
        assert_eq!(broker(Some(&at(Some(("online", None))))).await.verdict, Verdict::Pass);
        let refused = broker(Some(&at(Some(("offline", Some("bad password")))))).await;
        assert_eq!(refused.verdict, Verdict::Fail);
        assert!(refused.detail.contains("the gateway is offline: bad password"), "{}", refused.detail);
        for state in ["connecting", "off", ""] {
            assert_eq!(broker(Some(&at(Some((state, None))))).await.verdict, Verdict::Fail, "{state}");
        }
        drop(listener);
        assert_eq!(broker(Some(&at(Some(("online", None))))).await.verdict, Verdict::Fail);
    }

    #[test]
    fn mistakes_are_told_with_what_to_do_and_no_file_is_no_mistake() {
        let it = Configuration { file: "/x/config.json".into(), is_there: true, mistakes: Vec::new() };
        assert_eq!(configuration(&it).verdict, Verdict::Pass);
        let absent = configuration(&Configuration { is_there: false, ..it.clone() });
        assert!(absent.verdict == Verdict::Pass && absent.detail.contains("there is no /x/config.json"));
        let wrong = configuration(&Configuration { mistakes: vec!["one".to_owned(), "two".to_owned()], ..it });
        assert_eq!((wrong.verdict, wrong.detail.as_str()), (Verdict::Fail, "one; two"));
        assert!(wrong.advice.is_some_and(|advice| advice.contains("config validate")));
    }
}
