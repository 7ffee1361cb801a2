//! What people do with the gateway itself.
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

macro_rules! administration {
    ($($(#[$doc:meta])* $variant:ident = $name:literal on $what:ident,)*) => {
        /// One right to administer. The names are the Cedar action identifiers; none is one of [`Action`](crate::Action).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Administration {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }
        impl Administration {
            /// Every right there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// The Cedar identifier, as in `Action::"view_audit"`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
            /// What it is a right on.
            pub const fn scope(self) -> AdministrationScope {
                match self { $(Self::$variant => AdministrationScope::$what,)* }
            }
        }
        impl FromStr for Administration {
            type Err = ();
            fn from_str(s: &str) -> Result<Self, ()> {
                match s { $($name => Ok(Self::$variant),)* _ => Err(()) }
            }
        }
    };
}

/// What a right to administer is a right on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdministrationScope {
    /// One connection: `resource in Connection::"orders"`.
    Connection,
    /// The gateway: `Gateway::"doorward"`.
    Gateway,
}

administration! {
    /// See a connection: where it listens, where it leads to. Resource: `Connection`.
    ViewConnections = "view_connections" on Connection,
    /// Create, change and remove a connection. Resource: `Connection`.
    EditConnections = "edit_connections" on Connection,
    /// Try whether a connection's upstream can be reached and takes the credential. Resource: `Connection`.
    TestConnection = "test_connection" on Connection,
    /// See who is or was on a connection, and what was decided. Resource: `Connection`.
    ViewSessions = "view_sessions" on Connection,
    /// See what was said in a session: its recording. Resource: `Connection`.
    ReplaySession = "replay_session" on Connection,
    /// End a live session. Resource: `Connection`.
    KillSession = "kill_session" on Connection,
    /// See all approvals, not only those that one asked for or may decide. Resource: `Connection`.
    ViewApprovals = "view_approvals" on Connection,
    /// Approve and deny; of whom else `@approvers` asks, too. Resource: `Connection`.
    DecideApproval = "decide_approval" on Connection,
    /// Let an approval through alone in an emergency; of whom else `@break_glass` asks, too. Resource: `Connection`.
    BreakGlass = "break_glass" on Connection,
    /// Read the audit log; with [`Self::ViewPolicies`], back-test a version over it. Resource: `Gateway`.
    ViewAudit = "view_audit" on Gateway,
    /// Take a copy of the audit log, and check it. Resource: `Gateway`.
    ExportAudit = "export_audit" on Gateway,
    /// Read the policies, their history, and how a request would be decided. Resource: `Gateway`.
    ViewPolicies = "view_policies" on Gateway,
    /// Write a version of the policies, which is not in force yet. Resource: `Gateway`.
    EditPolicies = "edit_policies" on Gateway,
    /// Put a version of the policies in force. Resource: `Gateway`.
    ActivatePolicies = "activate_policies" on Gateway,
    /// See which principals and groups have come. Resource: `Gateway`.
    ViewPrincipals = "view_principals" on Gateway,
    /// See which secrets there are, never what they are. Resource: `Gateway`.
    ViewSecrets = "view_secrets" on Gateway,
    /// Store, replace and remove secrets. Resource: `Gateway`.
    EditSecrets = "edit_secrets" on Gateway,
    /// See the API keys of others, and whose accounts of a chat are. Resource: `Gateway`.
    ViewKeys = "view_keys" on Gateway,
    /// Make API keys of one's own. Resource: `Gateway`.
    CreateKeys = "create_keys" on Gateway,
    /// End the API keys of others, and remove their accounts of a chat. Resource: `Gateway`.
    EditKeys = "edit_keys" on Gateway,
    /// See where audit entries are sent to, and how far that is. Resource: `Gateway`.
    ViewExports = "view_exports" on Gateway,
    /// Change where audit entries are sent to. Resource: `Gateway`.
    EditExports = "edit_exports" on Gateway,
    /// See which sessions are held for the law. Resource: `Gateway`.
    ViewHolds = "view_holds" on Gateway,
    /// Hold a session, so that nothing of it is removed, and release it. Resource: `Gateway`.
    EditHolds = "edit_holds" on Gateway,
    /// See issuers, versions, settings. Resource: `Gateway`.
    ViewSettings = "view_settings" on Gateway,
    /// Read metrics. Resource: `Gateway`.
    ViewMetrics = "view_metrics" on Gateway,
}

impl fmt::Display for Administration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Action;

    #[test]
    fn no_right_has_the_name_of_an_action_on_the_data_path() {
        for right in Administration::ALL {
            assert_eq!(right.as_str().parse(), Ok(*right));
            assert!(right.as_str().parse::<Action>().is_err(), "{right}");
        }
    }
}
