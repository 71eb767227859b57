//! kshark against librdkafka's mock of a cluster, and its settings.

use std::time::Duration;

use rdkafka::mocking::MockCluster;

use super::*;
use crate::link::kafka::Broker;

const FILE: &str = "# a comment\nbootstrap.servers = kafka:9092, \\\n  other:1\n! another\nsecurity.protocol: SASL_SSL\n\
                    sasl.mechanism=SCRAM-SHA-512\nsasl.username=hub\nsasl.password=hush=hush\n\
                    schema.registry.url=http://me:hush@registry:8081\nbasic.auth.user.info=me:hush\n";

fn plan(brokers: &str, topics: &[&str]) -> Plan {
    let mut properties = Properties::default();
    properties.set("bootstrap.servers", brokers);
    Plan {
        address: properties.address("kshark").expect("an address"),
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        group: "kshark".to_owned(),
        start: Start::Now,
        waits: Waits::default(),
        diagnostics: Diagnostics::On,
        registry: None,
        rest: None,
        echo: properties.echo(),
    }
}

fn statuses(report: &Report, component: &str) -> Vec<Status> {
    report.rows.iter().filter(|row| row.component == component).map(|row| row.status).collect()
}

#[test]
fn a_file_of_settings_is_read_and_shown_without_its_secrets() {
    let properties = Properties::parse(FILE);
    let address = properties.address("kshark").expect("an address");
    assert_eq!(address.brokers.iter().map(Broker::to_string).collect::<Vec<_>>(), ["kafka:9092", "other:1"]);
    assert_eq!(address.security.login().expect("a login").password.reveal(), "hush=hush");
    let mut plan = plan("kafka", &[]);
    properties.complete(&mut plan).expect("addresses");
    assert!(plan.registry.is_some() && plan.rest.is_none());
    assert!(!format!("{:?}", plan.echo).contains("hush"));
    assert!(plan.echo.contains(&("sasl.username".to_owned(), "hub".to_owned())));
}

#[test]
fn a_preset_only_fills_gaps() {
    let mut properties = Properties::parse("bootstrap.servers=x\nsecurity.protocol=PLAINTEXT");
    properties.preset(Preset::SelfScram);
    assert!(properties.address("kshark").expect("an address").security.login().is_none());
    let mut properties = Properties::parse("bootstrap.servers=x\nsasl.username=u\nsasl.password=p");
    properties.preset(Preset::SelfScram);
    let address = properties.address("kshark").expect("an address");
    assert_eq!(address.security.login().expect("a login").mechanism.name(), "SCRAM-SHA-512");
}

#[tokio::test(flavor = "current_thread")]
async fn a_healthy_broker_passes_and_a_record_comes_back() {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("lab", 1, 1).expect("a topic");
    let report = run(&plan(&cluster.bootstrap_servers(), &["lab"]), &Clock::System).await;
    assert!(!report.has_failed(), "{:#?}", report.rows);
    assert_eq!(statuses(&report, "produce"), [Status::Ok]);
    assert_eq!(statuses(&report, "consume"), [Status::Ok]);
    let json = report.to_json();
    assert_eq!(json["summary"]["L4-TCP"]["ok"], 1);
    assert_eq!(json["summary"]["L5-6-TLS"]["skip"], 1);
    assert_eq!(json["rows"][0]["layer"], "L3-Network");
    assert!(json["config_echo"]["bootstrap.servers"].is_string());
}

#[tokio::test(flavor = "current_thread")]
async fn without_a_broker_the_rest_is_skipped_and_advice_is_given() {
    // Ours as long as it is not closed, so that nobody else can listen there.
    let gone = tokio::net::TcpSocket::new_v4().expect("a socket");
    gone.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let port = gone.local_addr().expect("an address").port();
    let report = run(&plan(&format!("127.0.0.1:{port}"), &["lab"]), &Clock::System).await;
    assert!(report.has_failed());
    let failed: Vec<&Row> = report.rows.iter().filter(|row| row.status == Status::Fail).collect();
    assert_eq!((failed.len(), failed[0].layer), (1, Layer::Tcp));
    assert!(failed[0].hint.as_deref().is_some_and(|hint| hint.contains("port")));
    assert_eq!(statuses(&report, "produce"), [Status::Skip]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_broker_that_says_nothing_ends_the_look_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut plan = plan(&format!("127.0.0.1:{port}"), &[]);
    plan.waits.total = Duration::from_millis(50);
    let report = run(&plan, &Clock::System).await;
    assert!(report.rows.iter().any(|row| row.component == "kshark" && row.status == Status::Fail));
    plan.waits = Waits { broker: Duration::from_secs(1), ..Waits::default() };
    let report = run(&plan, &Clock::System).await;
    assert!(report.rows.iter().any(|row| row.detail == "versions: no answer in time"));
}

proptest::proptest! {
    #[test]
    fn files_of_any_text_are_read(text in ".{0,200}", lines in "([a-z.]{0,8}[=:]?[a-z\\\\]{0,8}\n){0,8}") {
        let _ = Properties::parse(&text).address("x");
        let _ = Properties::parse(&lines).echo();
    }
}
