//! The program from outside: a real gateway, a real broker, real sockets, a real browser.
//!
//! One binary, so that it links once. `fault` and `ui` have folders of their own beside this one.

mod bridge;
mod crash;
mod diagnostics;
mod disk;
mod doctor;
mod doors;
#[path = "../fault/mod.rs"]
mod fault;
mod group;
mod group_cable;
mod group_share;
mod kafka;
mod knowledge;
mod lamp;
mod membership;
mod memory;
mod openai;
mod orchestrator;
mod owner;
mod peers;
mod reset;
mod service;
mod support;
mod transcribe;
#[path = "../ui/mod.rs"]
mod ui;
mod update;
mod worker;
