//! Asks a broker how it is, step by step, without librdkafka: a few packets, no thread, nothing that lives on.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use tokio::net::TcpStream;
use tokio::time::{Instant as Deadline, timeout_at};

use super::address::Broker;
use super::fault::Fault;
use super::security::{Login, Mechanism};
use super::tls::{Blemish, handshake};
use super::wire::conversation::Conversation;
use super::wire::message::{
    API_VERSIONS, Authenticated, Handshake, METADATA, Metadata, SASL_AUTHENTICATE, SASL_HANDSHAKE, Versions, code,
};
use super::wire::scram::{Hash, Scram};
use super::{Address, Security};
use crate::base::clock::Clock;

/// Certificates that end sooner are warned of.
const CERTIFICATE_DAYS_MIN: i64 = 30;
const DAY_S: i64 = 24 * 60 * 60;

/// What is looked at, in this order; a failed step ends the examination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Resolve,
    Connect,
    Tls,
    Versions,
    Login,
    Metadata,
    Topics,
}

impl Step {
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Versions => "versions",
            Self::Login => "login",
            Self::Metadata => "metadata",
            Self::Topics => "topics",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Passed,
    /// Works, and somebody should look.
    Warned,
    Failed(Fault),
    Skipped,
}

#[derive(Clone, Debug)]
pub struct Finding {
    pub step: Step,
    pub verdict: Verdict,
    pub elapsed: Duration,
    /// What was found, for a person; holds no secret.
    pub detail: String,
}

/// What came of looking at one broker.
#[derive(Clone, Debug)]
pub struct Examination {
    pub broker: Broker,
    pub findings: Vec<Finding>,
    /// What the broker said, when it came to that.
    pub metadata: Option<Metadata>,
    /// The largest packet on the way there, in bytes, as far as the kernel knows.
    pub path_mtu: Option<u32>,
}

impl Examination {
    fn new(broker: &Broker) -> Self {
        Self { broker: broker.clone(), findings: Vec::new(), metadata: None, path_mtu: None }
    }

    /// Why this broker is of no use; a lack of topics is another thing.
    pub fn fault(&self) -> Option<&Fault> {
        self.findings.iter().find_map(|finding| match &finding.verdict {
            Verdict::Failed(fault) if finding.step != Step::Topics => Some(fault),
            _ => None,
        })
    }

    /// Topics that were asked for and are not there.
    pub fn missing_topics(&self) -> Vec<String> {
        self.topics_with(|error| error == code::UNKNOWN_TOPIC_OR_PARTITION)
    }

    /// Topics that we may not use.
    pub fn denied_topics(&self) -> Vec<String> {
        self.topics_with(|error| error == code::TOPIC_AUTHORIZATION_FAILED)
    }

    fn topics_with(&self, is_meant: impl Fn(i16) -> bool) -> Vec<String> {
        let topics = self.metadata.iter().flat_map(|metadata| &metadata.topics);
        topics.filter(|topic| is_meant(topic.error)).map(|topic| topic.name.clone()).collect()
    }
}

/// Tries the brokers one after the other; the first that is of use, or else the last.
pub async fn probe(address: &Address, topics: &[String], wait_max: Duration, clock: &Clock) -> Option<Examination> {
    let mut last = None;
    for broker in &address.brokers {
        let examination = examine(broker, address, topics, wait_max, clock).await;
        let is_of_use = examination.fault().is_none();
        last = Some(examination);
        if is_of_use {
            break;
        }
    }
    last
}

/// Looks at one broker; each step may take `wait_max`.
pub async fn examine(
    broker: &Broker,
    address: &Address,
    topics: &[String],
    wait_max: Duration,
    clock: &Clock,
) -> Examination {
    let mut notes = Notes { examination: Examination::new(broker), wait_max };
    // Every failure is written down by the step that failed.
    let _ = notes.look(address, topics, clock).await;
    notes.examination
}

/// A conversation with a broker that accepted us.
pub(super) async fn converse(address: &Address, wait_max: Duration, clock: &Clock) -> Result<Conversation, Fault> {
    let mut fault = Fault::Other("no broker is configured".to_owned());
    for broker in &address.brokers {
        let mut notes = Notes { examination: Examination::new(broker), wait_max };
        match notes.enter(address, clock).await {
            Ok(conversation) => return Ok(conversation),
            Err(Stopped) => fault = notes.examination.fault().cloned().unwrap_or(fault),
        }
    }
    Err(fault)
}

struct Notes {
    examination: Examination,
    wait_max: Duration,
}

/// The reason stands in the notes.
struct Stopped;

impl Notes {
    async fn look(&mut self, address: &Address, topics: &[String], clock: &Clock) -> Result<(), Stopped> {
        let mut conversation = self.enter(address, clock).await?;
        let request = Metadata::request(topics);
        let read = async {
            let answer = conversation.ask(METADATA, &request).await?;
            let metadata = Metadata::read(&answer)?;
            let detail = format!("{} brokers, controller {}", metadata.brokers.len(), metadata.controller);
            Ok((metadata, detail))
        };
        let metadata = self.step(Step::Metadata, read).await?;
        self.examination.metadata = Some(metadata);
        self.judge_topics(topics);
        Ok(())
    }

    /// Everything up to where a broker answers our questions.
    async fn enter(&mut self, address: &Address, clock: &Clock) -> Result<Conversation, Stopped> {
        let broker = self.examination.broker.clone();
        let security = &address.security;
        let addresses = self.step(Step::Resolve, resolve(&broker)).await?;
        let tcp = self.step(Step::Connect, connect(&addresses, self.wait_max)).await?;
        self.examination.path_mtu = path_mtu(&tcp);
        let mut conversation = if security.protocol().is_encrypted() {
            self.encrypt(tcp, &broker, address, clock).await?
        } else {
            self.note(Step::Tls, Verdict::Skipped, Duration::ZERO, security.protocol().name());
            Conversation::new(Box::new(tcp), &address.client_id)
        };
        self.step(Step::Versions, versions(&mut conversation, security)).await?;
        match security.login() {
            Some(login) => self.step(Step::Login, log_in(&mut conversation, login)).await?,
            None => self.note(Step::Login, Verdict::Skipped, Duration::ZERO, security.protocol().name()),
        }
        Ok(conversation)
    }

    async fn encrypt(
        &mut self,
        tcp: TcpStream,
        broker: &Broker,
        address: &Address,
        clock: &Clock,
    ) -> Result<Conversation, Stopped> {
        let started = Instant::now();
        let shaking = handshake(tcp, &broker.host, &address.security);
        let shaken = match timeout_at(Deadline::now() + self.wait_max, shaking).await {
            Ok(Ok(shaken)) => shaken,
            Ok(Err(fault)) => return Err(self.stop(Step::Tls, fault, started.elapsed())),
            Err(_) => return Err(self.stop(Step::Tls, Fault::Silent, started.elapsed())),
        };
        let days = shaken.ends.map(|ends| (ends - clock.now().as_millis() / 1_000).div_euclid(DAY_S));
        let detail = days.map_or_else(String::new, |days| format!("certificate ends in {days} days"));
        let verdict = match shaken.verdict {
            Err(Blemish::Fatal(fault)) => return Err(self.stop(Step::Tls, fault, started.elapsed())),
            Err(Blemish::Doubtful(reason)) => {
                self.note(Step::Tls, Verdict::Warned, started.elapsed(), &format!("{detail}; {reason}"));
                return Ok(Conversation::new(Box::new(shaken.stream), &address.client_id));
            }
            Ok(()) if days.is_some_and(|days| days < CERTIFICATE_DAYS_MIN) => Verdict::Warned,
            Ok(()) => Verdict::Passed,
        };
        self.note(Step::Tls, verdict, started.elapsed(), &detail);
        Ok(Conversation::new(Box::new(shaken.stream), &address.client_id))
    }

    fn judge_topics(&mut self, topics: &[String]) {
        let (missing, denied) = (self.examination.missing_topics(), self.examination.denied_topics());
        let verdict = match (topics.is_empty(), denied.is_empty(), missing.is_empty()) {
            (true, _, _) => Verdict::Skipped,
            (_, false, _) => Verdict::Failed(Fault::Denied(denied.join(", "))),
            (_, _, false) => Verdict::Failed(Fault::TopicsMissing(missing.join(", "))),
            _ => Verdict::Passed,
        };
        let detail = format!("{} of {} topics are there", topics.len() - missing.len() - denied.len(), topics.len());
        self.note(Step::Topics, verdict, Duration::ZERO, &detail);
    }

    /// Carries out a step within its time and writes down what came of it.
    async fn step<T>(
        &mut self,
        step: Step,
        work: impl Future<Output = Result<(T, String), Fault>>,
    ) -> Result<T, Stopped> {
        let started = Instant::now();
        let outcome = timeout_at(Deadline::now() + self.wait_max, work).await.unwrap_or(Err(Fault::Silent));
        match outcome {
            Ok((value, detail)) => {
                self.note(step, Verdict::Passed, started.elapsed(), &detail);
                Ok(value)
            }
            Err(fault) => Err(self.stop(step, fault, started.elapsed())),
        }
    }

    fn stop(&mut self, step: Step, fault: Fault, elapsed: Duration) -> Stopped {
        let detail = fault.to_string();
        self.note(step, Verdict::Failed(fault), elapsed, &detail);
        Stopped
    }

    fn note(&mut self, step: Step, verdict: Verdict, elapsed: Duration, detail: &str) {
        self.examination.findings.push(Finding { step, verdict, elapsed, detail: detail.to_owned() });
    }
}

async fn resolve(broker: &Broker) -> Result<(Vec<SocketAddr>, String), Fault> {
    let unknown = || Fault::NameUnknown(broker.host.clone());
    let found = tokio::net::lookup_host((broker.host.as_str(), broker.port)).await.map_err(|_| unknown())?;
    let addresses: Vec<SocketAddr> = found.collect();
    let words: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    if addresses.is_empty() { Err(unknown()) } else { Ok((addresses, words.join(", "))) }
}

/// The first address that accepts; each gets the same share of the time.
async fn connect(addresses: &[SocketAddr], wait_max: Duration) -> Result<(TcpStream, String), Fault> {
    let share = wait_max / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut fault = Fault::Refused;
    for address in addresses {
        match timeout_at(Deadline::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Small packets go at once; without it, it only takes longer.
                let _ = stream.set_nodelay(true);
                return Ok((stream, address.to_string()));
            }
            Ok(Err(error)) => fault = Fault::of_connect(&error),
            Err(_) => fault = Fault::Silent,
        }
    }
    Err(fault)
}

fn path_mtu(stream: &TcpStream) -> Option<u32> {
    let is_ipv4 = stream.peer_addr().ok()?.is_ipv4();
    let asked = if is_ipv4 { sockopt::ip_mtu(stream) } else { sockopt::ipv6_mtu(stream) };
    asked.ok()
}

/// Whether something accepts connections there; for brokers that another one named.
pub async fn reach(broker: &Broker, wait_max: Duration) -> Result<(), Fault> {
    let look = async {
        let (addresses, _) = resolve(broker).await?;
        connect(&addresses, wait_max).await.map(drop)
    };
    timeout_at(Deadline::now() + wait_max, look).await.unwrap_or(Err(Fault::Silent))
}

async fn versions(conversation: &mut Conversation, security: &Security) -> Result<((), String), Fault> {
    let versions = Versions::read(&conversation.ask(API_VERSIONS, &[]).await?)?;
    let mut wanted = vec![(METADATA, "Metadata 4")];
    if security.login().is_some() {
        wanted.extend([(SASL_HANDSHAKE, "SaslHandshake 1"), (SASL_AUTHENTICATE, "SaslAuthenticate 0")]);
    }
    match wanted.iter().find(|(api, _)| !versions.understands(*api)) {
        Some((_, name)) => Err(Fault::Version(name)),
        None => Ok(((), format!("{} kinds of requests", versions.ranges.len()))),
    }
}

async fn log_in(conversation: &mut Conversation, login: &Login) -> Result<((), String), Fault> {
    let mechanism = login.mechanism.name();
    let shaken = Handshake::read(&conversation.ask(SASL_HANDSHAKE, &Handshake::request(mechanism)).await?)?;
    if shaken.error != code::NONE {
        return Err(Fault::Mechanism { wanted: mechanism, offered: shaken.mechanisms.join(", ") });
    }
    let hash = match login.mechanism {
        Mechanism::Plain => {
            let proof = format!("\0{}\0{}", login.user, login.password.reveal());
            prove(conversation, proof.as_bytes()).await?;
            return Ok(((), mechanism.to_owned()));
        }
        Mechanism::ScramSha256 => Hash::Sha256,
        Mechanism::ScramSha512 => Hash::Sha512,
    };
    let scram = Scram::new(hash, &login.user, login.password.clone(), &nonce()?);
    let challenge = prove(conversation, &scram.first_message()).await?;
    let (proof, proven) = scram.prove(&challenge)?;
    proven.check(&prove(conversation, &proof).await?)?;
    Ok(((), mechanism.to_owned()))
}

async fn prove(conversation: &mut Conversation, token: &[u8]) -> Result<Vec<u8>, Fault> {
    let answer = Authenticated::read(&conversation.ask(SASL_AUTHENTICATE, &Authenticated::request(token)).await?)?;
    match answer.error {
        code::NONE => Ok(answer.token),
        code::SASL_AUTHENTICATION_FAILED => Err(Fault::Login(answer.reason)),
        other => Err(Fault::Login(format!("{} (error {other})", answer.reason))),
    }
}

fn nonce() -> Result<String, Fault> {
    use std::fmt::Write as _;
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes).map_err(|error| Fault::Other(error.to_string()))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
