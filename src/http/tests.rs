//! Doors on loopback, spoken to as clients and as strangers do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;
use crate::base::clock::{Clock, Timestamp};
use crate::base::secret::Secret;
use crate::base::shutdown::Shutdown;

const TOKEN: &str = "correct horse";
const PATIENCE: Duration = Duration::from_secs(10);

fn routes() -> Vec<Route<()>> {
    vec![
        Route {
            method: Method::Get,
            path: "/open",
            access: Access::Open,
            summary: "Anybody.",
            run: |_, request| {
                Box::pin(async move { Response::json(&serde_json::json!({"known": request.is_authenticated})) })
            },
        },
        Route {
            method: Method::Post,
            path: "/echo/{name}",
            access: Access::Token,
            summary: "Says it back.",
            run: |_, request| {
                Box::pin(
                    async move { Response::text(200, format!("{} {}", request.param("name"), request.body.len())) },
                )
            },
        },
        Route {
            method: Method::Get,
            path: "/large",
            access: Access::Open,
            summary: "A large body.",
            run: |_, _| Box::pin(async { Response::text(200, "x".repeat(300_000)) }),
        },
        Route {
            method: Method::Get,
            path: "/events",
            access: Access::Open,
            summary: "Two events, the second when the first was read.",
            run: |_, _| {
                Box::pin(async {
                    let (sender, pieces) = mpsc::channel(1);
                    tokio::spawn(async move {
                        for event in ["one", "two"] {
                            let _ = sender.send(Bytes::from(format!("data: {event}\n\n"))).await;
                        }
                    });
                    Response::events(pieces)
                })
            },
        },
    ]
}

struct House {
    handle: ServerHandle,
    clock: Clock,
    guard: Arc<Guard>,
    shutdown: Shutdown,
    _run_dir: tempfile::TempDir,
}

fn house(change: impl FnOnce(&mut Config)) -> House {
    let run_dir = tempfile::tempdir().expect("a folder");
    let clock = Clock::manual(Timestamp::from_millis(1_787_063_412_000));
    let guard = Arc::new(Guard::new(
        GuardConfig {
            token: Secret::new(TOKEN.to_owned()),
            is_open: false,
            allowed_hosts: vec!["hub.home".to_owned()],
            allowed_origins: vec!["https://panel.lan".to_owned()],
            hostname: "board".to_owned(),
        },
        clock.clone(),
    ));
    let mut config = Config::new("test", "127.0.0.1".parse().expect("an address"), 0, run_dir.path());
    change(&mut config);
    let shutdown = Shutdown::default();
    let router = Arc::new(Router::new(routes(), Arc::new(()), guard.clone()));
    let handle = Server::start(config, &mut Listeners::default(), router, shutdown.clone()).expect("a server");
    House { handle, clock, guard, shutdown, _run_dir: run_dir }
}

impl House {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.handle.address()).await.expect("connected")
    }

    /// Sends a request on a connection of its own and reads all that comes.
    async fn ask(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("in time").expect("read");
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn get(&self, path: &str, headers: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")).await
    }
}

fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn several_requests_in_one_packet_get_one_answer_each_in_order() {
    let house = house(|_| {});
    let mut wire = String::new();
    for number in 0..5 {
        wire += &format!(
            "POST /echo/{number} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 3\r\n\r\nabc"
        );
    }
    wire += "GET /open HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = house.ask(&wire).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 6, "{answer}");
    let order: Vec<usize> =
        (0..5).map(|number| answer.find(&format!("\r\n\r\n{number} 3")).expect("answered")).collect();
    assert!(order.is_sorted());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_lets_in_who_belongs_here() {
    let house = house(|_| {});
    let post =
        |headers: &str| format!("POST /echo/a HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n");
    for (headers, expected) in [
        ("Host: localhost\r\n", 401),
        ("Host: localhost\r\nAuthorization: Bearer wrong\r\n", 401),
        ("Host: localhost\r\nAuthorization: Bearer correct horse\r\n", 200),
        ("Host: localhost\r\nAuthorization: correct horse\r\n", 200),
        ("Host: hub.home:18791\r\nAuthorization: Bearer correct horse\r\n", 200),
        ("Host: board.local\r\nAuthorization: Bearer correct horse\r\n", 200),
        ("Host: 192.168.1.5\r\nAuthorization: Bearer correct horse\r\n", 200),
        ("Host: evil.example\r\nAuthorization: Bearer correct horse\r\n", 403),
        ("Host: localhost\r\nOrigin: https://evil.example\r\nAuthorization: Bearer correct horse\r\n", 403),
        ("Host: localhost\r\nOrigin: http://localhost\r\nAuthorization: Bearer correct horse\r\n", 200),
        ("Host: localhost\r\nOrigin: https://panel.lan\r\nAuthorization: Bearer correct horse\r\n", 200),
    ] {
        assert_eq!(status(&house.ask(&post(headers)).await), expected, "{headers:?}");
    }
    assert_eq!(status(&house.get("/open?token=x", "").await), 400);
    assert!(house.get("/open", "").await.contains("\"known\":false"));
    assert_eq!(status(&house.get("/nowhere", "").await), 401, "strangers do not learn what there is");
    assert_eq!(status(&house.get("/nowhere", &format!("Authorization: {TOKEN}\r\n")).await), 404);
    assert_eq!(status(&house.get("/echo/a", &format!("Authorization: {TOKEN}\r\n")).await), 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_locks_an_address_out_but_not_its_sessions() {
    let house = house(|_| {});
    let cookie = house.guard.login_cookie(false);
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().expect("a cookie"));
    for _ in 0..6 {
        house.get("/nowhere", "Authorization: guess\r\n").await;
    }
    let locked = house.get("/nowhere", &format!("Authorization: {TOKEN}\r\n")).await;
    assert_eq!(status(&locked), 429);
    assert!(locked.to_lowercase().contains("retry-after"));
    assert_eq!(status(&house.get("/nowhere", &cookie).await), 404);
    house.clock.advance(Duration::from_secs(60));
    assert_eq!(status(&house.get("/nowhere", &format!("Authorization: {TOKEN}\r\n")).await), 404);
    house.clock.advance(Duration::from_secs(31 * 24 * 3600));
    assert_eq!(status(&house.get("/nowhere", &cookie).await), 401, "a session ends");
    let forged = cookie.replace("kafclaw_session=1", "kafclaw_session=9");
    assert_eq!(status(&house.get("/nowhere", &forged).await), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_beyond_the_limit_are_refused_and_large_answers_arrive_whole() {
    let house = house(|_| {});
    let declared = "POST /echo/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10485760\r\n\r\n";
    assert_eq!(status(&house.ask(declared).await), 413);
    let mut chunked = String::from("POST /echo/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    chunked += &format!("{:x}\r\n", 20 * 1024 * 1024);
    assert_eq!(status(&house.ask(&chunked).await), 413);
    let answer = house.get("/large", "").await;
    assert_eq!(
        answer.matches('x').count() - answer.split("\r\n\r\n").next().expect("a head").matches('x').count(),
        300_000
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_drips_bytes_is_cut_off() {
    let house = house(|config| config.head_timeout = Duration::from_millis(200));
    let mut slow = house.connect().await;
    slow.write_all(b"GET /open HTTP/1.1\r\nHost: local").await.expect("sent");
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, slow.read_to_end(&mut answer)).await.expect("cut off").expect("read");
    assert_eq!(status(&String::from_utf8_lossy(&answer)), 408);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room_for_busy_ones() {
    let house = house(|config| config.connections_per_address_max = 50);
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(house.connect().await);
    }
    assert_eq!(status(&house.get("/open", "").await), 200);
    assert!(house.handle.connections_len() <= 51);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_parser_is_replaced_and_nobody_notices() {
    let house = house(|_| {});
    assert!(house.handle.probe().await);
    house.handle.stop();
    assert_eq!(status(&house.get("/open", "").await), 200);
    assert!(house.handle.probe().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_one_by_one_and_head_has_no_body() {
    let house = house(|_| {});
    let answer = house.get("/events", "").await;
    assert!(
        answer.contains("text/event-stream")
            && answer.contains("b\r\ndata: one\n\n\r\nb\r\ndata: two\n\n\r\n0\r\n\r\n"),
        "{answer}"
    );
    let head = house.ask("HEAD /open HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(head.ends_with("\r\n\r\n") && head.contains("content-length: 16"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_signal_the_last_requests_end_and_the_door_closes() {
    let house = house(|_| {});
    assert_eq!(status(&house.get("/open", "").await), 200);
    house.shutdown.trigger();
    tokio::time::timeout(PATIENCE, house.handle.drained()).await.expect("drained");
    while TcpStream::connect(house.handle.address()).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn the_document_lists_every_route() {
    let document = openapi::document(&openapi::entries(&routes(), 18791), "0");
    for route in routes() {
        let method = route.method.as_str().to_lowercase();
        assert_eq!(document["paths"][route.path][method]["summary"], route.summary);
    }
    assert_eq!(document["paths"]["/echo/{name}"]["post"]["parameters"][0]["name"], "name");
}
