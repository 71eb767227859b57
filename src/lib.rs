//! KafClaw Edge: the brain of a home that works with the cable pulled.
//!
//! # The map
//!
//! Higher floors import lower ones; nothing imports upward. Modules of one floor do not know each other, except where the
//! table names an arrow. `tests/tidy` holds this.
//!
//! | floor | modules | what |
//! |---|---|---|
//! | 0 | [`base`] | ids, clock, limits, lanes, secrets, shutdown, fault points |
//! | 1 | [`domain`] | the nouns: messages, calls, tasks, events, the household |
//! | 2 | [`db`], [`link`], [`inference`] | one SQLite writer; wires to the outside (HTTP, MQTT); models that run here |
//! | 3 | [`timeline`], [`models`] | what happened, followed by cursors; the store of models |
//! | 4 | [`bus`], [`session`], [`memory`], [`policy`], [`approval`], [`settings`], [`webuser`], [`owner`] | durable state, one table owner each (`owner`: a file) |
//! | 5 | [`intent`], [`provider`], [`tool`], [`recall`], [`agent`] | understanding, models, tools, what fills the memory, the turn (`agent` → `intent`, `provider`, `tool`, `recall`; `tool` → `policy` on floor 4) |
//! | 6 | [`channel`], [`scheduler`], [`home`], [`group`], [`orchestrator`], [`knowledge`], [`backup`], [`diagnostics`], [`update`], [`reset`] | edges: people, time, devices, other hubs, files to carry away, the other slot, forgetting everything (`group` → `orchestrator`, `knowledge`) |
//! | 7 | [`http`], [`api`], [`dashboard`], [`doctor`] | doors and desks, checks (`api`, `dashboard` → `http`; `dashboard` → `api` for what both ports answer alike) |
//! | 8 | [`config`], [`app`], [`cli`] | assembly (`app` → `config`; `cli` → `app`, `config`) |
//!
//! # A walk: "turn on the kitchen lamp" over MQTT
//!
//! [`link::mqtt`] receives, [`channel::mqtt`] decodes and hands it to [`channel::Intake`]; [`bus::Bus::accept`] commits it, and only
//! then the broker hears PUBACK. The dispatcher leases it to [`agent`]; [`intent`] understands it; [`policy`] judges; the step is
//! journaled; [`home`] publishes and waits for the lamp's state; answer, transcript, audit and delivery are one transaction;
//! the courier publishes the answer. Cut the power anywhere: what was accepted is answered once, and a command that may have
//! been sent is told, not repeated.
//!
//! # Decisions
//!
//! Those of the house plan stand (one package, floors, the door in front of tiny_http, persist then acknowledge, state machines
//! without I/O). What was decided since:
//!
//! 1. *2026-11-21.* A lease needs no clock. One process owns the state directory (an exclusive lock says so), so whatever is in
//!    processing at start belonged to a dead process. A task counts as interrupted only when work with an effect had begun;
//!    after three interruptions it fails with a sentence. *Otherwise if* two processes should ever share a database.
//! 2. *2026-11-21.* Timers and memories that a sentence asks for are written in the transaction that holds the answer. No journal
//!    is needed for them: they exist exactly when the person was told. Device commands are journaled before they are sent.
//! 3. *2026-11-21.* A question for permission parks the task and frees its conversation. The decision and the waking are one
//!    transaction, so a crash in between cannot lose either.
//! 4. *2026-11-21.* Sentence templates compile into a graph instead of being expanded: expansions grew into millions, the graph has
//!    a few thousand nodes for two languages and is ready in milliseconds.
//! 5. *2026-11-21.* Every model provider is spoken to in OpenAI's chat completions, which Anthropic and Google serve too. One
//!    dialect to keep right. *Otherwise if* a provider's own dialect offers a home something it misses.
//! 6. *2026-11-21.* TLS to the broker goes through a Unix socket and tokio-rustls, because rumqttc's own feature pins a rustls-webpki
//!    with known holes. *Otherwise if* rumqttc moves on.
//! 7. *2026-11-21.* Streams and bodies beyond 32 KiB go around tiny_http: it would block a thread for each.
//! 8. *2026-11-21.* Web users speak as members of the household: whoever is at the dashboard has logged in with its token.
//!    KafClaw treated them as strangers, which made its chat useless.
//! 9. *2026-11-21.* A plain MQTT message has no id; when the broker repeats one, its packet number and its words tell that it is the
//!    same. JSON messages carry their own id.
//! 10. *2026-11-21.* Reminders of callers who hold no line open (`/chat`, command line, web page) are kept in the conversation and
//!     announced on `<prefix>/<instance>/out/announcements` where there is a broker.
//! 11. *2026-11-21.* Release code is built for size, and a second and ten seconds after READY the gateway drops the mapped pages of its
//!     own code, as it does when the group's broker has come or gone and after the housekeeping: most of what is resident in an
//!     idle house is code that only the start ran.
//! 12. *2026-11-21.* The wire to the broker is ours even without TLS: small packets are acknowledged at once, because brokers hold
//!     the next one back until then (88 ms instead of 2 for an answer).
//! 13. *2026-11-21.* The control port (18789) is a key of the configuration and is not served yet: no empty shell.
//! 14. *2026-11-21.* The memory is filled by a follower of the timeline with a durable cursor, never by calls out of a turn. What people
//!     outside the household say is not remembered at all: it would stand in members' prompts later. While no model can be reached,
//!     plain statements are kept and questions are answered from the memory, with their source.
//! 15. *2026-11-21.* PDF and HTML are read by a process of their own (this program, started again with limits): their parsers recurse
//!     and panic on hostile files, and a thread cannot be killed.
//! 16. *2026-11-21.* Vectors of the memory live in sqlite-vec as signatures of one bit per number (`vec0`, partition per layer), turned
//!     at random first, and as 32-bit floats in a table beside it. The scan of the blocks is ours: with four bits per number of the
//!     query it needs a quarter of the candidates that comparing signs needs, and sqlite-vec sorts every block once per candidate
//!     (its 400 nearest of 100,000 take 28 times as long as our ten, with recall 1.000 in 200 queries). No int8 column: the bits leave so few
//!     candidates that reading their floats costs less than 384 more bytes per chunk. Candidates are looked at best first until none
//!     can be among the wanted, so that hard questions look at more. *Otherwise if* sqlite-vec learns to re-rank.
//! 17. *2026-11-21.* Vectors do not lie in `memory_chunks.embedding`: another model's would replace them one by one. Each generation has
//!     its tables, answers as a whole and is dropped as a whole. What KafClaw left in that column is of unknown models and is not used.
//! 18. *2026-11-21.* Readers that search by meaning map the database file: a system call per page was half of a search. A disk that
//!     cannot be read then ends the process instead of the search, and the service starts anew.
//! 19. *2026-11-21.* On processors, Whisper and the language model compute on plain slices with kernels of our own: candle's model has
//!     no cache and pays for 30 s, its quantised products are chosen when it is compiled. Candle keeps what it is best at, networks
//!     that are to run on a GPU too; the BERT twin is the first. *Otherwise if* candle chooses its kernels at run time.
//! 20. *2026-11-21.* `unsafe` is for what safe Rust cannot say, each in a small file with its reason: vector instructions
//!     (`inference::kernel`), model files mapped instead of read, sqlite-vec's registration, the probe for a GPU's driver, memory
//!     given back.
//! 21. *2026-11-21.* The embedding model that the configuration wants is used where it is installed; else the one that came with the
//!     program. KafClaw's default is a model that nobody has on a fresh, offline machine, and a memory that waits for it is none.
//! 22. *2026-11-21.* What hubs of this kind have only to say to each other (claims, leases, progress, cancellations, requests to one
//!     of them, comparing facts) goes to topics of their own, `group.<g>.direct` and `group.<k>.knowledge.sync`: an agent in Go gives
//!     every request, response and status that it hears to its model. *Otherwise if* KafClaw learns to look at targets.
//! 23. *2026-11-21.* A signature covers the bytes of a record as they stand and is its last field. There is no canonical form of JSON
//!     to get wrong, and whoever does not know the field skips it.
//! 24. *2026-11-21.* What a member holds of shared knowledge depends on the set of messages it has seen, never on their order; so
//!     members that were apart end equal without asking anybody first.
//! 25. *2026-11-21.* A turn that waits for another hub is parked like one that waits for a person: the order, its outbox row and the
//!     parking are one transaction, and whoever takes the answer wakes it in the transaction that stores the answer.
//! 26. *2026-11-21.* Members of the group are an origin between household and stranger: they see devices, not files or memories, and
//!     `policy.peerMaxTier` is 0 unless the owner says otherwise.
//! 27. *2026-11-21.* What a GPU computes, candle computes, and what the processor computes, our kernels: Whisper and the language model
//!     have one shape, one set of tensor names and one reader of weights each, and two arithmetics behind one face. Tests hold candle's
//!     to ours and to the references on the processor, where it never runs otherwise. Keys and values of language models have 32
//!     bits on a GPU: those of some families have no digits left in 16. *Otherwise if* memory proves shorter than digits there.
//! 28. *2026-11-21.* An owner tells its zones whole, with everything else it says about itself, each time one changes. A list that is
//!     complete and numbered cannot be misunderstood by whoever missed something, and agents in Go read nothing else on that topic.
//! 29. *2026-11-21.* What is asked in a zone is only asked of members that leave alone what is meant for others. An agent in Go does
//!     whatever it hears, in a zone or not.
//! 30. *2026-11-21.* A large text that is shared travels as a record of its own on the topic of its item, as agents in Go send it, and is
//!     known by its SHA-256. What fits into a record needs no object store, and nobody can pass another text off as it. *Otherwise
//!     if* homes share more than a megabyte at once.
//! 31. *2026-11-21.* The group watches its own work and nothing of the house: traces and audits of private turns go nowhere, or as
//!     figures, and words of theirs only where two keys of the configuration say so. KafClaw told everybody everything.
//! 32. *2026-11-21.* An update is installed by a process of root's that lives for as long as that takes. The gateway has no rights: it
//!     writes a request, a path unit of systemd starts `kafclaw update apply`, and that has everything that touches the network or the
//!     house's files done by the house's own user. RAUC alone decides whom to believe, so a bundle may come from anywhere. Giving the
//!     gateway RAUC's D-Bus would have let whoever breaks into it mark slots and restart the machine: the bus lets all but root only
//!     ask how the slots are, as `kafclaw doctor` does.
//! 33. *2026-11-21.* A slot proves itself after every start, not only after updates; one that cannot after an update is given up at
//!     once instead of three times. What is known about it lies in one file on `persist`, which both systems read.
//! 34. *2026-11-21.* Whether an older program can go on with a newer database is found out, not declared: what a change did to the layout
//!     is looked at when it is made, and written beside it. Where it cannot, the copy from before takes the file's place, and the file
//!     stays beside it.
//! 35. *2026-11-21.* A house begins without an owner and with a setup code, wherever it listens; the owner's password is for people and
//!     the token for programs. So there always is a token, made at the first start, and listening beyond loopback asks for no key of the
//!     configuration. The code and the hash are a file and not a table: the command line has to change them while the gateway runs or not.
//! 36. *2026-11-21.* A factory reset is one durable wish that is taken back last: `RESET=1` among GRUB's counters where the machine is ours
//!     (the initramfs wipes before anything is mounted, and needs none of what it wipes), a file in the state folder elsewhere.
//! 37. *2026-11-22.* Whether Whisper may hear less than thirty seconds of a short recording is tried on each model in its house
//!     (`whisper::trial`), not assumed: nobody trained it for that, and in the one model that could be measured words went wrong twenty
//!     times as often.
//! 38. *2026-11-22.* A system that was well before is not left for trouble, which most likely lies in what both systems share (the
//!     configuration, the disk), and the first look that finds it well proves it anew: a home whose power comes and goes keeps its
//!     newer system and its data. The boot loader's counting covers one that does not come up at all. *Otherwise if* trouble can be
//!     told to be the slot's own.

#![deny(unsafe_code)]

pub mod agent;
pub mod api;
pub mod app;
pub mod approval;
pub mod backup;
pub mod base;
pub mod bus;
pub mod channel;
pub mod cli;
pub mod config;
pub mod dashboard;
pub mod db;
pub mod diagnostics;
pub mod doctor;
pub mod domain;
pub mod group;
pub mod home;
pub mod http;
pub mod inference;
pub mod intent;
pub mod knowledge;
pub mod link;
pub mod memory;
pub mod models;
pub mod orchestrator;
pub mod owner;
pub mod policy;
pub mod provider;
pub mod recall;
pub mod reset;
pub mod scheduler;
pub mod session;
pub mod settings;
pub mod timeline;
pub mod tool;
pub mod update;
pub mod webuser;
