//! Brokers: name, connection, encryption, login, what they say about topics, and whether the addresses they name can be reached.

use super::{Diagnostics, Layer, Plan, Report, Row, Status};
use crate::base::clock::Clock;
use crate::link::kafka::{Broker, Examination, Finding, Metadata, Step, Verdict, examine, reach};

const COMPONENT: &str = "kafka";

/// What the brokers are of use for.
pub struct Use {
    /// Topics that are not there; none when no broker can be reached.
    missing: Option<Vec<String>>,
}

impl Use {
    /// Why nothing can be written to `topic` or read from it.
    pub fn obstacle(&self, topic: &str) -> Option<&'static str> {
        match &self.missing {
            None => Some("no broker can be reached"),
            Some(missing) if missing.iter().any(|name| name == topic) => Some("the topic is not there"),
            Some(_) => None,
        }
    }
}

/// Looks at every configured broker.
pub async fn look(plan: &Plan, clock: &Clock, report: &mut Report) -> Use {
    let mut said: Option<Examination> = None;
    for broker in &plan.address.brokers {
        let examination = examine(broker, &plan.address, &plan.topics, plan.waits.broker, clock).await;
        examination.findings.iter().for_each(|finding| report.add(row(broker, finding)));
        if plan.diagnostics == Diagnostics::On {
            measure(&examination, report);
        }
        if examination.fault().is_none() {
            said = said.or(Some(examination));
        }
    }
    let metadata = said.iter().filter_map(|examination| examination.metadata.as_ref());
    for broker in metadata.flat_map(advertised).filter(|broker| !plan.address.brokers.contains(broker)) {
        report.add(look_at_advertised(&broker, plan).await);
    }
    Use { missing: said.map(|examination| examination.missing_topics()) }
}

fn row(broker: &Broker, finding: &Finding) -> Row {
    let layer = match finding.step {
        Step::Resolve => Layer::Network,
        Step::Connect => Layer::Tcp,
        Step::Tls => Layer::Tls,
        Step::Versions | Step::Login | Step::Metadata | Step::Topics => Layer::Kafka,
    };
    let status = match &finding.verdict {
        Verdict::Passed => Status::Ok,
        Verdict::Warned => Status::Warn,
        Verdict::Failed(_) => Status::Fail,
        Verdict::Skipped => Status::Skip,
    };
    let mut detail = format!("{}: {}", finding.step.name(), finding.detail);
    if status == Status::Ok {
        detail.push_str(&format!(" ({:.1} ms)", finding.elapsed.as_secs_f64() * 1_000.0));
    }
    let row = Row::new(COMPONENT, &broker.to_string(), layer, status, &detail);
    match &finding.verdict {
        Verdict::Failed(fault) => {
            Row { detail: format!("{}: {fault}", finding.step.name()), ..row }.hint(fault.advice())
        }
        Verdict::Warned => row.hint("Renew the broker's certificate, or give it the name that is used here."),
        Verdict::Passed | Verdict::Skipped => row,
    }
}

fn measure(examination: &Examination, report: &mut Report) {
    let target = examination.broker.to_string();
    report.add(match examination.path_mtu {
        Some(mtu) if mtu < 1_280 => {
            let row = Row::new(COMPONENT, &target, Layer::Diagnostics, Status::Warn, &format!("path MTU {mtu}"));
            row.hint("Packets on the way there are very small; look for a tunnel that is set up wrongly.")
        }
        Some(mtu) => Row::new(COMPONENT, &target, Layer::Diagnostics, Status::Ok, &format!("path MTU {mtu}")),
        None => Row::new(COMPONENT, &target, Layer::Diagnostics, Status::Skip, "path MTU: no connection"),
    });
}

/// Where the brokers say that they are: clients leave the configured address for these at once.
fn advertised(metadata: &Metadata) -> Vec<Broker> {
    let broker = |(_, host, port): &(i32, String, i32)| {
        Some(Broker { host: host.clone(), port: u16::try_from(*port).ok().filter(|port| *port > 0)? })
    };
    metadata.brokers.iter().filter_map(broker).collect()
}

async fn look_at_advertised(broker: &Broker, plan: &Plan) -> Row {
    let row = |status, detail: &str| Row::new("advertised", &broker.to_string(), Layer::Tcp, status, detail);
    match reach(broker, plan.waits.broker).await {
        Ok(()) => row(Status::Ok, "connect: accepts connections"),
        Err(fault) => row(Status::Fail, &format!("connect: {fault}")).hint(
            "The broker tells clients to come here; change its advertised.listeners to what this machine can reach.",
        ),
    }
}
