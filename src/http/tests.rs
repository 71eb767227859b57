//! Doors on loopback, spoken to as clients and as strangers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use super::*;
use crate::base::clock::{Clock, Timestamp};
use crate::base::secret::Secret;
use crate::base::shutdown::Shutdown;
use crate::owner::Owner;

const TOKEN: &str = "correct horse";
const PATIENCE: Duration = Duration::from_secs(60);
/// Long enough that a request without a thread is sent again, and nobody is told that the house is busy.
const TAKE_TIMEOUT: Duration = Duration::from_millis(500);

fn routes() -> Vec<Route<()>> {
    let mut routes = vec![
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
    ];
    routes.extend(odd_routes());
    routes
}

/// Routes that go wrong or never end.
fn odd_routes() -> Vec<Route<()>> {
    vec![
        plain("/whole", |_, _| Box::pin(async { file(&[b"all of it", b""]) })),
        plain("/torn", |_, _| Box::pin(async { file(&[b"half of "]) })),
        plain("/panics", |_, request| {
            Box::pin(async move {
                assert!(request.path.is_empty(), "a mistake in a route");
                Response::text(200, "")
            })
        }),
        plain("/unreadable", |_, _| {
            Box::pin(async {
                RUNS.fetch_add(1, Ordering::SeqCst);
                // More header lines than the door reads.
                (0..100).fold(Response::text(200, ""), |response, _| response.with("X-Line", "x"))
            })
        }),
        plain("/waits", |_, _| {
            Box::pin(async {
                let (sender, pieces) = mpsc::channel(1);
                tokio::spawn(async move {
                    let _ = sender.send(Bytes::from("data: one\n\n")).await;
                    sender.closed().await;
                    LEFT.notify_one();
                });
                Response::events(pieces)
            })
        }),
    ]
}

static RUNS: AtomicUsize = AtomicUsize::new(0);
static LEFT: Notify = Notify::const_new();

fn plain(path: &'static str, run: Handler<()>) -> Route<()> {
    Route { method: Method::Get, path, access: Access::Open, summary: "For a test.", run }
}

fn file(pieces: &[&'static [u8]]) -> Response {
    let (sender, receiver) = mpsc::channel(pieces.len());
    pieces.iter().for_each(|piece| sender.try_send(Bytes::from_static(piece)).expect("room"));
    Response { status: 200, headers: Vec::new(), body: Body::Whole(receiver) }
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
    let owner = Owner::open(run_dir.path(), clock.clone()).expect("an owner");
    let guard = Arc::new(Guard::new(
        GuardConfig {
            token: Secret::new(TOKEN.to_owned()),
            is_open: false,
            allowed_hosts: vec!["hub.home".to_owned()],
            allowed_origins: vec!["https://panel.lan".to_owned()],
            hostname: "board".to_owned(),
        },
        owner,
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
    let declared = |length: usize, line: &str| {
        format!("POST /echo/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{line}\r\n")
    };
    let known = format!("Authorization: {TOKEN}\r\n");
    assert_eq!(status(&house.ask(&declared(10_485_760, &known)).await), 413);
    assert_eq!(status(&house.ask(&declared(10_485_760, "")).await), 401, "a stranger learns no limits");
    assert_eq!(status(&house.ask(&declared(99_999_999, "")).await), 413, "more than any route takes");
    // Strangers would be turned away before their first chunk.
    let mut chunked = format!(
        "POST /echo/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
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
    for number in 0..2_000 {
        let mut stream = house.connect().await;
        if number % 2 == 0 {
            // A beginning is not a request; it may have been asked to leave already.
            let _ = stream.write_all(b"GET /open HTTP/1.1\r\nHost: local").await;
        }
        idle.push(stream);
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
    for _ in 0..3 {
        // What a full table of file descriptors does: accepting fails, and the parser's thread ends without a word.
        house.handle.break_parser();
        let post = format!(
            "POST /echo/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: {TOKEN}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
        );
        assert_eq!(status(&house.ask(&post).await), 200);
        assert!(house.handle.probe().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_taken_is_never_carried_out_twice() {
    let house = house(|_| {});
    assert_eq!(status(&house.get("/unreadable", "").await), 502);
    assert_eq!(RUNS.load(Ordering::SeqCst), 1);
    assert_eq!(status(&house.get("/panics", "").await), 500);
    assert_eq!(status(&house.get("/open", "").await), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_turned_away_before_their_body_is_read() {
    let house = house(|_| {});
    let head = "POST /echo/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\nExpect: 100-continue\r\n";
    let mut stream = house.connect().await;
    stream.write_all(format!("{head}\r\n").as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("in time").expect("read");
    assert_eq!(&answer, b"HTTP/1.1 401");
    let mut stream = house.connect().await;
    stream.write_all(format!("{head}Authorization: {TOKEN}\r\n\r\n").as_bytes()).await.expect("sent");
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("in time").expect("read");
    assert_eq!(&answer, b"HTTP/1.1 100");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_ten_megabytes_reads_why_they_were_refused() {
    let house = house(|config| config.linger = PATIENCE);
    let mut stream = house.connect().await;
    let head = format!(
        "POST /echo/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: {TOKEN}\r\nContent-Length: 10000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    for _ in 0..10 {
        stream.write_all(&vec![0; 1_000_000]).await.expect("taken");
    }
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("in time").expect("no reset");
    assert_eq!(status(&String::from_utf8_lossy(&answer)), 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_file_never_looks_whole() {
    let house = house(|_| {});
    assert!(house.get("/whole", "").await.ends_with("9\r\nall of it\r\n0\r\n\r\n"));
    assert!(house.get("/torn", "").await.ends_with("8\r\nhalf of \r\n"));
    let old = house.ask("GET /whole HTTP/1.0\r\nHost: localhost\r\n\r\n").await;
    assert!(old.ends_with("\r\n\r\nall of it"), "{old}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_learns_that_its_reader_left() {
    let house = house(|_| {});
    let mut stream = house.connect().await;
    stream.write_all(b"GET /waits HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).await.expect("an answer");
    drop(stream);
    tokio::time::timeout(PATIENCE, LEFT.notified()).await.expect("told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_changes_things_only_from_a_page_of_ours() {
    let house = house(|_| {});
    let cookie = house.guard.login_cookie(false);
    let cookie = cookie.split(';').next().expect("a cookie");
    for (headers, expected) in [
        ("", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("Sec-Fetch-Site: same-origin\r\n", 200),
        ("Origin: http://localhost\r\n", 200),
        ("Origin: http://evil.example\r\n", 403),
    ] {
        let request = format!(
            "POST /echo/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {cookie}\r\n{headers}\r\n"
        );
        let answer = house.ask(&request).await;
        assert_eq!(status(&answer), expected, "{headers}");
        assert!(answer.to_lowercase().contains("x-content-type-options: nosniff"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn umlauts_in_an_address_are_understood() {
    let house = house(|_| {});
    let post =
        format!("POST /echo/Küche HTTP/1.1\r\nHost: localhost\r\nAuthorization: {TOKEN}\r\nConnection: close\r\n\r\n");
    assert!(house.ask(&post).await.ends_with("Küche 0"));
    assert_eq!(status(&house.get("/open", "X-Name: Küche\r\n").await), 400);
}

/// tiny_http may leave a connection without a thread when many come at once; nobody may have to wait for another to end.
#[tokio::test(flavor = "multi_thread")]
async fn many_clients_at_once_are_all_answered() {
    let house = Arc::new(house(|config| config.take_timeout = TAKE_TIMEOUT));
    for _ in 0..5 {
        let clients = (0..64).map(|_| {
            let house = house.clone();
            tokio::spawn(async move { status(&house.get("/open", "").await) })
        });
        for client in clients.collect::<Vec<_>>() {
            assert_eq!(client.await.expect("asked"), 200);
        }
        house.handle.forget_idle();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// However requests are framed and wherever the network cuts them, each gets its own answer, in order.
    #[test]
    fn requests_on_one_connection_never_mix(
        bodies in proptest::collection::vec((any::<bool>(), 0_usize..3_000), 1..12),
        cut in 1_usize..5_000,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let (wire, expected) = pipelined(&bodies);
        let answer = runtime.block_on(async {
            let house = house(|config| config.take_timeout = TAKE_TIMEOUT);
            let (mut read, mut write) = house.connect().await.into_split();
            let sending = tokio::spawn(async move {
                for part in wire.chunks(cut) {
                    write.write_all(part).await.expect("sent");
                }
                write
            });
            let mut answer = Vec::new();
            tokio::time::timeout(PATIENCE, read.read_to_end(&mut answer)).await.expect("in time").expect("read");
            let _write = sending.await.expect("sent all");
            String::from_utf8(answer).expect("text")
        });
        let got: Vec<&str> = answer.split("HTTP/1.1 200 OK").skip(1).filter_map(|one| one.split("\r\n\r\n").nth(1)).collect();
        prop_assert_eq!(got, expected);
    }
}

/// Requests for `/echo` behind each other, the last of which closes; and the bodies of their answers.
fn pipelined(bodies: &[(bool, usize)]) -> (Vec<u8>, Vec<String>) {
    let mut wire = String::new();
    let mut expected = Vec::new();
    for (number, (is_chunked, len)) in bodies.iter().enumerate() {
        let body = "b".repeat(*len);
        wire += &format!("POST /echo/{number} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {TOKEN}\r\n");
        if number + 1 == bodies.len() {
            wire += "Connection: close\r\n";
        }
        if *is_chunked && *len > 0 {
            wire += &format!("Transfer-Encoding: chunked\r\n\r\n{len:x}\r\n{body}\r\n0\r\n\r\n");
        } else {
            wire += &format!("Content-Length: {len}\r\n\r\n{body}");
        }
        expected.push(format!("{number} {len}"));
    }
    (wire.into_bytes(), expected)
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
