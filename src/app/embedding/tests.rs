//! Installing a model for the memory across restarts.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::*;
use crate::base::id::to_hex;
use crate::models::StoreConfig;
use crate::settings;

const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_123);
const MODEL: &str = "slow-words";
const WEIGHTS: &[u8] = b"weights of a model";

/// A server that has the model, or has nothing, and counts who asks.
#[derive(Default)]
struct Shop {
    is_open: AtomicBool,
    asked: AtomicUsize,
}

impl Shop {
    /// Its address.
    fn start(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let shop = self.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let lines = BufReader::new(stream.try_clone().expect("a stream")).lines().map_while(Result::ok);
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                shop.asked.fetch_add(1, Ordering::SeqCst);
                let (status, body) =
                    if shop.is_open.load(Ordering::SeqCst) { ("200 OK", WEIGHTS) } else { ("404 Not Found", &b""[..]) };
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(&[head.as_bytes(), body].concat());
            }
        });
        address
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn store(folder: &Path) -> Store {
    Store::open(StoreConfig { sticks: Some(Vec::new()), ..StoreConfig::new(folder.to_owned(), Vec::new()) })
}

fn list(folder: &Path, address: &str) {
    let (bytes, sha256) = (WEIGHTS.len(), to_hex(&Sha256::digest(WEIGHTS)));
    let list = format!(
        "[[model]]\nid = \"{MODEL}\"\ntask = \"embedding\"\ntitle = \"x\"\nlicense = \"x\"\nmemory_mib = 1\n\
         [[model.files]]\nname = \"weights\"\nbytes = {bytes}\nsha256 = \"{sha256}\"\n\
         sources = [{{ url = \"{address}/weights\" }}]\n"
    );
    std::fs::write(folder.join("manifest.toml"), list).expect("a list");
}

/// A house that has just been started, where no model can be used.
async fn start(db: &Db, folder: &Path) -> Meaning {
    let store = store(folder);
    Meaning::start(Ground {
        db: db.clone(),
        clock: Clock::manual(NOW),
        configured: Configured { enabled: true, ..Configured::default() },
        installer: Lane::start("model-install", 1, store.clone()).expect("a thread"),
        store,
        find: Box::new(|_| None),
        shutdown: Shutdown::default(),
    })
    .await
}

/// The installation, once nothing is under way.
async fn ended(meaning: &Meaning) -> Install {
    let ended = async {
        loop {
            let install = meaning.facts().await.install;
            if !install.pending {
                return install;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("it ends")
}

#[tokio::test]
async fn an_installation_that_did_not_end_goes_on_at_the_next_start_and_a_removed_model_stays_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let shop = Arc::new(Shop::default());
    list(folder.path(), &shop.start());
    let db = Db::memory_for_tests(&[settings::MIGRATIONS, memory::MIGRATIONS]);
    let house = start(&db, folder.path()).await;
    assert_eq!(house.facts().await.install, Install { cache_path_available: true, ..Install::default() });
    house.install(MODEL.to_owned()).await.expect("begun");
    let failed = ended(&house).await;
    assert!(failed.work.failure.is_some() && shop.asked() > 0, "{failed:?}");
    assert!(matches!(house.install("no-such-model".to_owned()).await, Err(Refused(_))));

    shop.is_open.store(true, Ordering::SeqCst);
    let house = start(&db, folder.path()).await;
    let resumed = house.facts().await.install;
    assert_eq!((resumed.requested_model.as_str(), resumed.requested_at), (MODEL, Some(NOW)));
    assert_eq!(ended(&house).await.work.failure, None);
    assert!(store(folder.path()).locate(MODEL).is_ok(), "it is here now");

    let asked = shop.asked();
    store(folder.path()).remove(MODEL).expect("removed");
    let install = start(&db, folder.path()).await.facts().await.install;
    assert_eq!((install.pending, install.requested_at, shop.asked()), (false, Some(NOW), asked));
    // Whoever wants it again gets it again.
    let house = start(&db, folder.path()).await;
    house.install(MODEL.to_owned()).await.expect("begun");
    assert_eq!((ended(&house).await.work.failure, shop.asked()), (None, asked + 1));
}
