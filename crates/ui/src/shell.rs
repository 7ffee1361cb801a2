//! What every page has: navigation, who is signed in, what waits.
use crate::{Inert, Moment, moment::exact};
use askama::Template;
use doorward_model::Timestamp;

/// Where in the navigation a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What is live, refused, waiting.
    Overview,
    /// Held requests.
    Approvals,
    /// Live and past sessions.
    Sessions,
    /// The audit log.
    Audit,
    /// Cedar policies.
    Policies,
    /// Backends and how to reach them.
    Connections,
    /// What is called sensitive.
    Tags,
    /// One's own sign-ins and keys, and how the gateway is set up.
    Settings,
    /// Sign-in and errors.
    None,
}

/// Name and address of what the navigation leads to.
const SECTIONS: [(Section, &str, &str); 8] = [
    (Section::Overview, "Overview", "/"),
    (Section::Approvals, "Approvals", "/approvals"),
    (Section::Sessions, "Sessions", "/sessions"),
    (Section::Audit, "Audit", "/audit"),
    (Section::Policies, "Policies", "/policies"),
    (Section::Connections, "Connections", "/connections"),
    (Section::Tags, "Tags", "/tags"),
    (Section::Settings, "Settings", "/settings"),
];

/// The frame of a page.
#[derive(Clone, Debug)]
pub struct Shell {
    /// For the window's title and the heading.
    pub title: String,
    /// Where it is.
    pub section: Section,
    /// Who is signed in (`issuer/subject`), shown escaped.
    pub who: Option<String>,
    /// Where this person may go: what is not theirs to see is not in the navigation.
    pub open: Vec<Section>,
    /// How many approvals this person may decide or waits for.
    pub waiting: usize,
    /// When the page was made.
    pub now: Timestamp,
}

impl Shell {
    /// Of somebody who is not signed in.
    pub fn outside(title: impl Into<String>, now: Timestamp) -> Self {
        Self { title: title.into(), section: Section::None, who: None, open: Vec::new(), waiting: 0, now }
    }

    pub(crate) fn sections(&self) -> impl Iterator<Item = (Section, &'static str, &'static str)> {
        SECTIONS.into_iter().filter(|(section, ..)| self.open.contains(section))
    }

    /// Who is signed in, with what cannot be seen made visible.
    pub(crate) fn name(&self) -> Inert {
        Inert::new(self.who.clone().unwrap_or_default())
    }

    /// A time as it is, for where there is no room for markup.
    pub(crate) fn exact(&self, at: &Timestamp) -> String {
        exact(*at)
    }

    /// A time relative to when the page was made.
    pub const fn moment(&self, at: &Timestamp) -> Moment {
        Moment { at: *at, now: self.now }
    }
}

/// A message about what the person has just done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether it failed.
    pub bad: bool,
    /// In words.
    pub text: String,
}

/// Where people say who they are.
#[derive(Debug, Template)]
#[template(path = "sign_in.html")]
pub struct SignIn {
    /// The frame.
    pub shell: Shell,
    /// Why the last try did not work.
    pub problem: Option<String>,
    /// Where to go afterwards.
    pub next: String,
    /// Identity providers: their names, and where to go to sign in there.
    pub providers: Vec<(crate::Inert, String)>,
}

/// A page that is not there, not for this person, or not to be had now.
#[derive(Debug, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    /// The frame.
    pub shell: Shell,
    /// The status.
    pub status: u16,
    /// What happened.
    pub detail: String,
    /// What to do about it.
    pub advice: &'static str,
}
