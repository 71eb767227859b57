//! How the group stands, for people and the API (group specification §7).

use serde::Serialize;

use crate::base::clock::Timestamp;
use crate::db::DbError;
use crate::group::outbox::{self, Totals};
use crate::group::roster::Standing;

use super::Group;
use super::onboard::OnboardingView;

/// `GET /api/v1/group/status`: KafClaw's fields, then ours.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct StatusView {
    pub active: bool,
    pub agent_id: String,
    pub group_name: String,
    /// Whether something can be said: there is no proxy between us and the broker.
    pub lfs_healthy: bool,
    pub lfs_proxy_url: String,
    pub member_count: usize,
    /// `offline`, `probing`, `joining`, `online`, `draining` or `leaving`.
    pub connectivity: &'static str,
    pub can_hear: bool,
    pub can_speak: bool,
    pub can_think: bool,
    /// Why it is not online, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Records that wait for the network.
    pub outbox_rows: u64,
    pub onboarding: OnboardingView,
}

/// `GET /api/v1/group/members`: lists are JSON texts, as in KafClaw.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct MemberView {
    pub agent_id: String,
    pub agent_name: String,
    pub capabilities: String,
    pub channels: String,
    pub last_seen: Timestamp,
    pub model: String,
    pub role: String,
    pub soul_summary: String,
    pub status: &'static str,
    pub skills: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_think: Option<bool>,
    pub is_alive: bool,
}

impl Group {
    pub async fn status(&self) -> Result<StatusView, DbError> {
        let status = self.connectivity.status();
        let waiting = self.totals().await?.iter().map(|totals| totals.rows).sum();
        Ok(StatusView {
            active: status.health.can_speak,
            agent_id: self.core.me().to_string(),
            group_name: self.core.group().to_owned(),
            lfs_healthy: status.health.can_speak,
            lfs_proxy_url: self.core.lfs_proxy_url.clone(),
            member_count: self.core.alive_len(),
            connectivity: status.state.name(),
            can_hear: status.health.can_hear,
            can_speak: status.health.can_speak,
            can_think: status.health.can_think,
            reason: status.reason,
            advice: status.advice,
            outbox_rows: waiting,
            onboarding: self.core.onboarding.view(),
        })
    }

    /// What waits for the network, by class.
    pub async fn totals(&self) -> Result<Vec<Totals>, DbError> {
        self.core.db.read(outbox::totals).await
    }

    /// Everybody who has not left, by id.
    pub fn members(&self) -> Vec<MemberView> {
        let (roster, moment) = (self.core.roster(), self.core.moment());
        let present = roster.members().filter(|member| member.standing != Standing::Left);
        let listed = |list: &[String]| serde_json::to_string(list).unwrap_or_default();
        present
            .map(|member| {
                let identity = &member.identity;
                MemberView {
                    agent_id: identity.id.to_string(),
                    agent_name: identity.name.clone(),
                    capabilities: listed(&identity.capabilities),
                    channels: listed(&identity.channels),
                    last_seen: member.last_seen,
                    model: identity.model.clone(),
                    role: identity.role.clone(),
                    soul_summary: identity.soul.clone(),
                    status: member.standing.as_str(),
                    skills: identity.skills.clone(),
                    load: identity.load,
                    can_think: identity.can_think,
                    is_alive: roster.is_alive(member.id(), moment),
                }
            })
            .collect()
    }
}
