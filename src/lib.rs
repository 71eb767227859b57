//! KafClaw Edge: the brain of a home that works with the cable pulled.

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
pub mod domain;
pub mod home;
pub mod http;
pub mod intent;
pub mod link;
pub mod memory;
pub mod policy;
pub mod provider;
pub mod scheduler;
pub mod session;
pub mod settings;
pub mod timeline;
pub mod tool;
pub mod webuser;
