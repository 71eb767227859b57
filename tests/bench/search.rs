//! Search of the memory by meaning, on disk with a warm page cache, against sqlite-vec's own scan of the same vectors in the same
//! run. The vectors are made up: 200 topics of 20 subjects each, of Zipf's frequencies, numbers whose variance falls with a power
//! law; a median query has its nearest neighbor at a cosine of 0.8 and its tenth at 0.7, as questions to notes have.

use std::path::Path;
use std::time::Instant;

use kafclaw::base::clock::{Clock, Timestamp};
use kafclaw::db::{Config, Db};
use kafclaw::memory::{self, Ask, Chunk, Mode, QueryVector};
use rusqlite::{Connection, params};

use crate::figure::{Figure, Goal, Times};

const DIMS: usize = 384;
const QUERIES: usize = 200;
const COUNT: usize = 10;
const BATCH_LEN: usize = 1_000;
/// The scan of a million takes seconds.
const SCANS: usize = 20;
const TOPICS: u64 = 200;
const SUBJECTS: u64 = 20;
const FINGERPRINT: &str = "made-up";
const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_123);

pub fn small() {
    measure("100k", 100_000, 4.0);
}

pub fn large() {
    measure("1m", 1_000_000, 40.0);
}

fn measure(name: &str, len: usize, goal_ms: f64) {
    let folder = tempfile::tempdir().expect("a folder");
    let db = Db::open(&Config::at(folder.path().join("timeline.db")), &[memory::MIGRATIONS], &Clock::System)
        .expect("a database");
    insert(name, &db, len);
    let queries: Vec<Vec<f32>> = (0..QUERIES).map(|number| query(number, len)).collect();
    let exact = exact(&queries, len);
    let before = anonymous_mib();
    (0..20).for_each(|number| drop(search(&db, &queries[number], Mode::Semantic)));
    let mut recall = 0.0;
    let times = Times::of(QUERIES, |number| {
        let found = search(&db, &queries[number], Mode::Semantic);
        let right = found.iter().filter(|row| exact[number].contains(row)).count();
        recall += right as f64 / (COUNT * QUERIES) as f64;
    });
    let used = anonymous_mib() - before;
    let hybrid = Times::of(QUERIES, |number| drop(search(&db, &queries[number], Mode::Hybrid)));
    let scan = plain_scan(folder.path(), &queries, len);
    let (ours, theirs) = (times.percentile_ms(50), scan.percentile_ms(50));
    let named = |what: &str| format!("search_{name}_{what}");
    let reference = ("sqlite_vec_f32_scan_p50_ms", theirs);
    Figure::new(&named("p50_ms"), ours, Goal::AtMost(goal_ms)).against(reference).print();
    Figure::new(&named("p99_ms"), times.percentile_ms(99), Goal::None).against(reference).print();
    Figure::new(&named("times_faster"), theirs / ours, Goal::AtLeast(8.0)).print();
    Figure::new(&named("recall_at_10"), recall, Goal::AtLeast(0.99)).print();
    let knn = bit_search(&folder.path().join("timeline.db")).percentile_ms(50);
    Figure::new("sqlite_vec_bits_top_400_p50_ms", knn, Goal::None).against((&named("p50_ms"), ours)).print();
    Figure::new(&named("hybrid_p50_ms"), hybrid.percentile_ms(50), Goal::None).against(reference).print();
    Figure::new(&named("memory_mib"), used, Goal::None).print();
    db.close();
}

fn insert(name: &str, db: &Db, len: usize) {
    let generation =
        db.write_blocking(|tx| memory::settle(tx, FINGERPRINT, DIMS)).expect("begun").expect("a dimension");
    let number = generation.number;
    let mut spent = std::time::Duration::ZERO;
    for start in (0..len).step_by(BATCH_LEN) {
        let rows = start..(start + BATCH_LEN).min(len);
        let chunks: Vec<Chunk> = rows.clone().map(|row| chunk(row, len)).collect();
        let mut vectors: Vec<Vec<f32>> = rows.map(|row| vector(row as u64)).collect();
        let started = Instant::now();
        db.write_blocking(move |tx| memory::remember_all(tx, &chunks, u32::MAX, NOW)).expect("remembered");
        let waiting = db.read_blocking(move |conn| memory::waiting(conn, number, BATCH_LEN)).expect("read");
        assert_eq!(waiting.len(), vectors.len());
        let filled = waiting
            .into_iter()
            .map(|chunk| {
                let row: usize = chunk.content.split(' ').nth(1).and_then(|row| row.parse().ok()).expect("a row");
                (chunk, Some(std::mem::take(&mut vectors[row - start])))
            })
            .collect();
        assert!(db.write_blocking(move |tx| memory::store(tx, number, filled)).expect("stored"));
        spent += started.elapsed();
        if start % (BATCH_LEN * 100) == 0 {
            eprintln!("{name}: {start} of {len}");
        }
    }
    let rate = len as f64 / spent.as_secs_f64();
    Figure::new(&format!("search_{name}_inserts_per_s"), rate, Goal::AtLeast(5_000.0)).print();
}

fn search(db: &Db, query: &[f32], mode: Mode) -> Vec<usize> {
    let mut ask = Ask::new("where is the w17 of the w230", COUNT, NOW);
    ask.mode = mode;
    ask.relevance_min = 0.0;
    ask.vector = Some(QueryVector { fingerprint: FINGERPRINT.to_owned(), values: query.to_vec() });
    let hits = db.read_blocking(move |conn| memory::seek(conn, &ask)).expect("searched");
    hits.iter().map(|hit| hit.content.split(' ').nth(1).and_then(|row| row.parse().ok()).expect("a row")).collect()
}

/// sqlite-vec as it comes: 32-bit floats, unit length, so that the order by distance is the order by cosine.
fn plain_scan(folder: &Path, queries: &[Vec<f32>], len: usize) -> Times {
    let mut connection = Connection::open(folder.join("plain.db")).expect("a database");
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).expect("WAL");
    connection.execute_batch(&format!("CREATE VIRTUAL TABLE plain USING vec0 (x float[{DIMS}])")).expect("a table");
    for start in (0..len).step_by(10_000) {
        let tx = connection.transaction().expect("a transaction");
        {
            let mut insert = tx.prepare("INSERT INTO plain (rowid, x) VALUES (?1, ?2)").expect("a statement");
            for row in start..(start + 10_000).min(len) {
                insert.execute(params![row as i64, memory::to_blob(&vector(row as u64))]).expect("inserted");
            }
        }
        tx.commit().expect("committed");
    }
    let mut nearest =
        connection.prepare("SELECT rowid FROM plain WHERE x MATCH ?1 AND k = ?2").expect("sqlite-vec is there");
    let mut scan = |number: usize| {
        let rows = nearest.query_map(params![memory::to_blob(&queries[number]), COUNT as i64], |row| row.get(0));
        let rows: Vec<i64> = rows.expect("searched").collect::<Result<_, _>>().expect("rows");
        assert_eq!(rows.len(), COUNT);
    };
    scan(0);
    Times::of(SCANS, scan)
}

/// sqlite-vec's own search of our signatures, with the candidates that it would need: the time depends on their count only.
fn bit_search(path: &Path) -> Times {
    let connection = Connection::open(path).expect("a database");
    let sql = "SELECT rowid FROM memory_index_1 WHERE signature MATCH vec_bit(?1) AND k = 400";
    let mut nearest = connection.prepare(sql).expect("sqlite-vec is there");
    Times::of(5, |number| {
        let mut random = Random(number as u64);
        let bits: Vec<u8> = (0..DIMS / 64).flat_map(|_| random.next().to_le_bytes()).collect();
        let rows = nearest.query_map([bits], |row| row.get::<_, i64>(0)).expect("searched").count();
        assert_eq!(rows, 400);
    })
}

/// The rows that every query should find, by comparing all.
fn exact(queries: &[Vec<f32>], len: usize) -> Vec<Vec<usize>> {
    let mut best: Vec<Vec<(f32, usize)>> = vec![Vec::new(); queries.len()];
    for row in 0..len {
        let vector = vector(row as u64);
        for (query, best) in queries.iter().zip(&mut best) {
            let cosine: f32 = dot(query, &vector);
            if best.len() < COUNT || best.last().is_some_and(|last| last.0 < cosine) {
                let at = best.partition_point(|other| other.0 >= cosine);
                best.insert(at, (cosine, row));
                best.truncate(COUNT);
            }
        }
    }
    let median = |place: usize| {
        let mut cosines: Vec<f32> = best.iter().map(|best| best[place].0).collect();
        cosines.sort_by(f32::total_cmp);
        cosines[cosines.len() / 2]
    };
    eprintln!("median cosine of the nearest {:.2}, of the tenth {:.2}", median(0), median(COUNT - 1));
    best.into_iter().map(|best| best.into_iter().map(|(_, row)| row).collect()).collect()
}

fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    for (one, other) in one.as_chunks::<16>().0.iter().zip(other.as_chunks::<16>().0) {
        for lane in 0..16 {
            sums[lane] += one[lane] * other[lane];
        }
    }
    sums.iter().sum()
}

/// Words of Zipf's frequencies, so that the index of words is as usual.
fn chunk(row: usize, len: usize) -> Chunk {
    let mut random = Random(row as u64 ^ 0x5EED);
    let words: Vec<String> = (0..12).map(|_| format!("w{}", (3_000.0_f64.powf(random.even())) as u64)).collect();
    let source = if row < len / 2 { "user" } else { "conversation:bench" };
    Chunk::new(&format!("note {row} about {}", words.join(" ")), source, "").expect("a chunk")
}

/// Half the queries are notes in other words, half are about a topic only.
fn query(number: usize, len: usize) -> Vec<f32> {
    let mut random = Random(number as u64 ^ 0x0DD5);
    if number % 2 == 1 {
        return vector((len + number) as u64);
    }
    let near = vector(random.next() % len as u64);
    let moved: Vec<f32> = near.iter().map(|value| value + random.normal() * 0.6 / (DIMS as f32).sqrt()).collect();
    memory::unit(&moved).expect("a direction")
}

/// The vector of a row; the same one for the same row.
fn vector(row: u64) -> Vec<f32> {
    let mut random = Random(row.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ 0xC0FFEE);
    let topic = ((random.even().powf(2.0)) * TOPICS as f64) as u64;
    let subject = topic * SUBJECTS + random.next() % SUBJECTS;
    let (mut topic, mut subject) = (Random(topic ^ 0x70_71C5), Random(subject ^ 0x50_B1EC7));
    let mut all = Random(0xA11);
    let numbers: Vec<f32> = (0..DIMS)
        .map(|index| {
            let scale = 1.0 / ((index + 1) as f32).sqrt();
            scale * (0.45 * all.normal() + 0.7 * topic.normal() + 0.6 * subject.normal() + 0.75 * random.normal())
        })
        .collect();
    memory::unit(&numbers).expect("a direction")
}

fn anonymous_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("of this process");
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("an RssAnon line");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut state = self.0;
        state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        state ^ (state >> 31)
    }

    /// From 0 to 1.
    fn even(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Nearly normal: the sum of four 16-bit numbers.
    fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xFFFF).sum();
        (sum as f32 / 65_535.0 - 2.0) * 1.732
    }
}
