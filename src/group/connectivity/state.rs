//! The decisions, without input or output: facts go in, actions and one timer come out.

use std::time::Duration;

use super::Config;
use super::back_off::{Dice, wait};

/// Time since the machine began; only goes forward, whatever the wall clock does.
pub type Moment = Duration;

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fact {
    /// There is a group to be in.
    Configured,
    /// The group is to be left, or there is none any more.
    Leave,
    /// The house closes; nothing follows.
    Shutdown,
    /// A way to somewhere may have come.
    NetworkCame,
    /// A way to somewhere went; only what fails because of it counts.
    NetworkWent,
    ProbePassed {
        number: u64,
    },
    /// `is_lasting`: until a person mends it.
    ProbeFailed {
        number: u64,
        is_lasting: bool,
    },
    /// The client could not be made.
    ClientFailed,
    /// The client has no connection any more and tries to mend that.
    ConnectionLost,
    /// The client will not work again: wrong password, fatal error.
    ClientUseless,
    /// The announcement with this epoch was acknowledged.
    Joined {
        epoch: u64,
    },
    /// The announcement with this epoch was refused or lost.
    JoinFailed {
        epoch: u64,
    },
    /// Records of the group are being read, or not.
    Hearing(bool),
    /// A model is there to answer with, or not.
    Thinking(bool),
    /// Everything that was on its way when leaving began has arrived.
    Drained,
    /// The farewell was acknowledged, or cannot be.
    Left,
    /// It is the time that the timer said.
    TimeCame,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Find out whether a broker can be reached; answered by [`Fact::ProbePassed`] or [`Fact::ProbeFailed`] with this number.
    StartProbe {
        number: u64,
    },
    CreateClient,
    DestroyClient,
    /// Remember the epoch, then announce this member with it.
    AnnounceJoin {
        epoch: u64,
    },
    /// Take nothing new; tell [`Fact::Drained`] when nothing is on its way.
    Drain,
    AnnounceLeave {
        epoch: u64,
    },
    /// The machine has ended; there is no client.
    Finish,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// No client. With a group there is a time for the next probe.
    Offline {
        probe_at: Option<Moment>,
    },
    Probing {
        number: u64,
        since: Moment,
    },
    /// There is a client, and nobody acknowledged yet that we are here.
    Joining {
        epoch: u64,
        deadline: Moment,
        retry_at: Option<Moment>,
    },
    Online {
        epoch: u64,
    },
    /// Leaving in order: first what is on its way.
    Draining {
        epoch: u64,
        deadline: Moment,
    },
    /// Then the farewell.
    Leaving {
        epoch: u64,
        deadline: Moment,
    },
    Finished,
}

impl State {
    /// For people and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Offline { .. } => "offline",
            Self::Probing { .. } => "probing",
            Self::Joining { .. } => "joining",
            Self::Online { .. } => "online",
            Self::Draining { .. } => "draining",
            Self::Leaving { .. } => "leaving",
            Self::Finished => "finished",
        }
    }

    pub fn has_client(self) -> bool {
        matches!(self, Self::Joining { .. } | Self::Online { .. } | Self::Draining { .. } | Self::Leaving { .. })
    }
}

/// What works; each may fail alone.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Health {
    pub can_hear: bool,
    pub can_speak: bool,
    pub can_think: bool,
}

pub struct Machine {
    config: Config,
    dice: Dice,
    state: State,
    health: Health,
    /// There is a group to be in.
    is_wanted: bool,
    is_closing: bool,
    /// Failures in a row, of probes and of joining.
    failures: u32,
    probes: u64,
    /// The network changed while a probe was under way.
    has_changed: bool,
    /// The client has lost its way to the broker and looks for it on its own.
    is_severed: bool,
    /// The last epoch that was announced.
    epoch: u64,
}

impl Machine {
    /// `epoch` is the last one that was ever used; `seed` spreads waits.
    pub fn new(config: Config, epoch: u64, seed: u64) -> Self {
        Self {
            config,
            dice: Dice::new(seed),
            state: State::Offline { probe_at: None },
            health: Health::default(),
            is_wanted: false,
            is_closing: false,
            failures: 0,
            probes: 0,
            has_changed: false,
            is_severed: false,
            epoch,
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn health(&self) -> Health {
        self.health
    }

    pub fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When [`Fact::TimeCame`] is wanted; none when there is nothing to wait for.
    pub fn timer(&self) -> Option<Moment> {
        match self.state {
            State::Offline { probe_at } => probe_at,
            State::Probing { since, .. } => Some(since + self.config.probe_max),
            State::Joining { deadline, retry_at, .. } => Some(retry_at.map_or(deadline, |at| at.min(deadline))),
            State::Draining { deadline, .. } | State::Leaving { deadline, .. } => Some(deadline),
            State::Online { .. } | State::Finished => None,
        }
    }

    pub fn next(&mut self, fact: Fact, now: Moment) -> Vec<Action> {
        match fact {
            _ if self.state == State::Finished => Vec::new(),
            Fact::Configured => self.want(now),
            Fact::Leave => self.leave(now),
            Fact::Shutdown => {
                self.is_closing = true;
                self.leave(now)
            }
            Fact::Thinking(can_think) => {
                self.health.can_think = can_think;
                Vec::new()
            }
            Fact::Hearing(can_hear) => {
                self.health.can_hear = can_hear && self.state.has_client();
                Vec::new()
            }
            Fact::NetworkCame => self.network_came(now),
            Fact::NetworkWent => Vec::new(),
            Fact::TimeCame if self.timer().is_some_and(|at| at <= now) => self.time_came(now),
            Fact::TimeCame => Vec::new(),
            Fact::ProbePassed { .. } | Fact::ProbeFailed { .. } => self.probed(fact, now),
            Fact::ClientFailed if self.state.has_client() => {
                // There is none to end.
                self.failures = self.failures.saturating_add(1);
                self.without_client(now, Patience::Doubling)
            }
            Fact::ClientUseless if self.state.has_client() => {
                self.failures = self.failures.saturating_add(1);
                self.end_client(now, Patience::Doubling)
            }
            Fact::ConnectionLost => self.connection_lost(now),
            Fact::Joined { epoch } | Fact::JoinFailed { epoch } => {
                self.join_answered(epoch, matches!(fact, Fact::Joined { .. }), now)
            }
            Fact::Drained => match self.state {
                State::Draining { epoch, .. } => self.say_farewell(epoch, now),
                _ => Vec::new(),
            },
            Fact::Left => match self.state {
                State::Leaving { .. } => self.end_client(now, Patience::None),
                _ => Vec::new(),
            },
            Fact::ClientFailed | Fact::ClientUseless => Vec::new(),
        }
    }

    fn want(&mut self, now: Moment) -> Vec<Action> {
        if self.is_closing {
            return Vec::new();
        }
        let was_wanted = std::mem::replace(&mut self.is_wanted, true);
        match self.state {
            State::Offline { .. } if !was_wanted => {
                self.failures = 0;
                self.start_probe(now)
            }
            // A client that is being ended is ended first; then it begins anew.
            _ => Vec::new(),
        }
    }

    fn leave(&mut self, now: Moment) -> Vec<Action> {
        self.is_wanted = false;
        self.failures = 0;
        match self.state {
            State::Online { epoch } => {
                self.state = State::Draining { epoch, deadline: now + self.config.drain_max };
                vec![Action::Drain]
            }
            // Nobody would hear a farewell.
            State::Joining { .. } => self.end_client(now, Patience::None),
            State::Offline { .. } | State::Probing { .. } => self.without_client(now, Patience::None),
            State::Draining { .. } | State::Leaving { .. } | State::Finished => Vec::new(),
        }
    }

    fn network_came(&mut self, now: Moment) -> Vec<Action> {
        match &mut self.state {
            State::Offline { probe_at: Some(probe_at) } => {
                self.failures = 0;
                *probe_at = (*probe_at).min(now + self.config.settle);
            }
            State::Probing { .. } => self.has_changed = true,
            // It asks rarely by now, and a new one is there in a moment.
            State::Joining { .. } if self.is_severed => {
                self.failures = 0;
                return self.end_client(now, Patience::Settle);
            }
            _ => {}
        }
        Vec::new()
    }

    fn time_came(&mut self, now: Moment) -> Vec<Action> {
        match self.state {
            State::Offline { .. } => self.start_probe(now),
            State::Probing { number, .. } => self.probed(Fact::ProbeFailed { number, is_lasting: false }, now),
            State::Joining { deadline, .. } if deadline <= now => {
                self.failures = self.failures.saturating_add(1);
                self.end_client(now, Patience::Doubling)
            }
            State::Joining { deadline, .. } => self.announce(deadline),
            State::Draining { epoch, .. } => self.say_farewell(epoch, now),
            State::Leaving { .. } => self.end_client(now, Patience::None),
            State::Online { .. } | State::Finished => Vec::new(),
        }
    }

    fn start_probe(&mut self, now: Moment) -> Vec<Action> {
        self.probes += 1;
        self.has_changed = false;
        self.state = State::Probing { number: self.probes, since: now };
        vec![Action::StartProbe { number: self.probes }]
    }

    fn probed(&mut self, fact: Fact, now: Moment) -> Vec<Action> {
        let State::Probing { number: asked, .. } = self.state else { return Vec::new() };
        match fact {
            Fact::ProbePassed { number } if number == asked => {
                let mut actions = vec![Action::CreateClient];
                actions.extend(self.announce(now + self.config.offline_after));
                actions
            }
            Fact::ProbeFailed { number, is_lasting } if number == asked => {
                self.failures = self.failures.saturating_add(1);
                let patience = match (self.has_changed, is_lasting) {
                    (true, _) => Patience::Settle,
                    (false, true) => Patience::Lasting,
                    (false, false) => Patience::Doubling,
                };
                self.without_client(now, patience)
            }
            _ => Vec::new(),
        }
    }

    /// Announces with a new epoch; `deadline` is when a client without an answer is given up.
    fn announce(&mut self, deadline: Moment) -> Vec<Action> {
        self.epoch += 1;
        self.state = State::Joining { epoch: self.epoch, deadline, retry_at: None };
        vec![Action::AnnounceJoin { epoch: self.epoch }]
    }

    fn join_answered(&mut self, answered: u64, is_joined: bool, now: Moment) -> Vec<Action> {
        let State::Joining { epoch, .. } = self.state else { return Vec::new() };
        if answered != epoch {
            return Vec::new();
        }
        if is_joined {
            self.failures = 0;
            self.health.can_speak = true;
            self.is_severed = false;
            self.state = State::Online { epoch };
        } else {
            self.failures = self.failures.saturating_add(1);
            // Somebody answered, so the client is of use; only the announcement is not welcome yet.
            let deadline = now + self.config.offline_after;
            let wait = self.doubled();
            self.state = State::Joining { epoch, deadline, retry_at: Some(now + wait) };
        }
        Vec::new()
    }

    fn connection_lost(&mut self, now: Moment) -> Vec<Action> {
        self.health.can_speak = false;
        self.health.can_hear = false;
        match self.state {
            // The announcement waits in the client and goes out first when the connection is back.
            State::Online { .. } => {
                self.is_severed = true;
                self.announce(now + self.config.offline_after)
            }
            State::Draining { .. } | State::Leaving { .. } => self.end_client(now, Patience::None),
            _ => Vec::new(),
        }
    }

    fn say_farewell(&mut self, epoch: u64, now: Moment) -> Vec<Action> {
        self.state = State::Leaving { epoch, deadline: now + self.config.leave_max };
        vec![Action::AnnounceLeave { epoch }]
    }

    fn end_client(&mut self, now: Moment, patience: Patience) -> Vec<Action> {
        let mut actions = vec![Action::DestroyClient];
        actions.extend(self.without_client(now, patience));
        actions
    }

    /// Where everything ends that has no client: waiting for the next probe, for a group, or for nothing.
    fn without_client(&mut self, now: Moment, patience: Patience) -> Vec<Action> {
        self.health.can_hear = false;
        self.health.can_speak = false;
        self.is_severed = false;
        if self.is_closing {
            self.state = State::Finished;
            return vec![Action::Finish];
        }
        let probe_at = self.is_wanted.then(|| {
            now + match patience {
                Patience::None => Duration::ZERO,
                Patience::Settle => self.config.settle,
                Patience::Doubling => self.doubled(),
                Patience::Lasting => self.dice.spread(self.config.lasting_wait),
            }
        });
        self.state = State::Offline { probe_at };
        Vec::new()
    }

    fn doubled(&mut self) -> Duration {
        let wait = wait(self.failures, self.config.probe_wait_min, self.config.probe_wait_max);
        self.dice.spread(wait)
    }
}

/// How long to wait before the next probe.
#[derive(Clone, Copy)]
enum Patience {
    None,
    Settle,
    Doubling,
    Lasting,
}
