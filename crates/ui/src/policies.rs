//! Policies: read, written, checked, tried, compared, back-tested, put in force.
use crate::{Cedar, Inert, Notice, Shell};
use askama::Template;
use doorward_model::Timestamp;

/// One text.
#[derive(Clone, Debug)]
pub struct PolicySource {
    /// A file, or a version.
    pub name: Inert,
    /// The text.
    pub text: Cedar,
    /// How many policies or lines it has, in words.
    pub about: String,
    /// Whether it is shown at once.
    pub open: bool,
}

/// What is wrong, and where.
#[derive(Clone, Debug)]
pub struct PolicyError {
    /// The text, line and column.
    pub place: String,
    /// Line and column, where it is in the text that is being written.
    pub at: Option<(usize, usize)>,
    /// What.
    pub message: Inert,
    /// The line with a mark under it.
    pub snippet: Option<Inert>,
}

/// What came of a check.
#[derive(Clone, Debug)]
pub struct Checked {
    /// How many policies there would be; none: it is not right.
    pub policies: Option<usize>,
    /// What is wrong.
    pub errors: Vec<PolicyError>,
    /// What looks wrong.
    pub warnings: Vec<PolicyError>,
}

/// A made-up request, as it was typed.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The connection.
    pub connection: String,
    /// The statement.
    pub statement: String,
    /// `issuer/subject`.
    pub principal: String,
    /// Groups, with commas.
    pub groups: String,
    /// Whether it is a person.
    pub user: bool,
}

/// The decision on one access.
#[derive(Clone, Debug)]
pub struct Explained {
    /// What is asked.
    pub access: Inert,
    /// How it comes out: also a style.
    pub verdict: &'static str,
    /// Its style.
    pub class: &'static str,
    /// The policies that decided.
    pub by: Inert,
}

/// How a made-up request comes out.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// `forward`, `hold`, `refuse`.
    pub outcome: &'static str,
    /// The command.
    pub command: Inert,
    /// Each access.
    pub steps: Vec<Explained>,
}

/// A version that was written here.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its number.
    pub id: i64,
    /// Whose.
    pub author: Inert,
    /// What they said.
    pub comment: Inert,
    /// When.
    pub created: Timestamp,
    /// The version it was made from.
    pub parent: Option<i64>,
    /// Whether it is in force.
    pub active: bool,
    /// Whether it is only watched.
    pub monitored: bool,
}

/// What was put in force, when and by whom.
#[derive(Clone, Debug)]
pub struct Activation {
    /// Which version; none: the files alone.
    pub version: Option<i64>,
    /// Whether it decides, or is only watched.
    pub enforced: bool,
    /// By whom.
    pub by: Inert,
    /// Why.
    pub comment: Inert,
    /// When.
    pub time: Timestamp,
}

/// The policies.
#[derive(Debug, Template)]
#[template(path = "policies.html")]
pub struct PoliciesPage {
    /// The frame.
    pub shell: Shell,
    /// The digest of what is in force.
    pub version: String,
    /// How many policies there are.
    pub count: usize,
    /// The texts.
    pub sources: Vec<PolicySource>,
    /// Versions, newest first.
    pub versions: Vec<Version>,
    /// The `before` of older ones.
    pub older: Option<String>,
    /// What was put in force, newest first.
    pub activations: Vec<Activation>,
    /// Whether the person may write versions.
    pub may_edit: bool,
    /// Connections whose statements can be tried.
    pub connections: Vec<String>,
    /// What is tried.
    pub question: Question,
    /// How it comes out, or why that cannot be said.
    pub answer: Option<Result<Explanation, Inert>>,
    /// About what was just done.
    pub notice: Option<Notice>,
}

/// A version that is being written.
#[derive(Debug, Template)]
#[template(path = "policy_edit.html")]
pub struct PolicyEditPage {
    /// The frame.
    pub shell: Shell,
    /// The text.
    pub draft: String,
    /// What is said about it.
    pub comment: String,
    /// The version it is made from.
    pub parent: Option<i64>,
    /// Files that it counts together with.
    pub files: Vec<Inert>,
    /// What came of its check.
    pub checked: Option<Checked>,
    /// About what was just done.
    pub notice: Option<Notice>,
}

/// A line of a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffLine {
    /// Its style: `added`, `removed`, `place`, or nothing.
    pub class: &'static str,
    /// The line, with its sign.
    pub text: Inert,
}

impl DiffLine {
    /// The lines of a difference in the unified format, without the two that name its sides.
    pub fn of(diff: &str) -> Vec<Self> {
        let line = |text: &str| {
            let class = match text.as_bytes().first() {
                Some(b'+') => "added",
                Some(b'-') => "removed",
                Some(b'@') => "place",
                _ => "",
            };
            Self { class, text: text.into() }
        };
        diff.lines().skip(2).map(line).collect()
    }
}

/// What a version would have done otherwise, in groups.
#[derive(Clone, Debug)]
pub struct BackTest {
    /// How far back.
    pub days: u32,
    /// Requests that were judged.
    pub requests: u64,
    /// Those that come out otherwise.
    pub differences: u64,
    /// What could not be judged, or is not shown, in words.
    pub remarks: Vec<String>,
    /// The differences.
    pub groups: Vec<BackTestGroup>,
}

/// Differences that are alike.
#[derive(Clone, Debug)]
pub struct BackTestGroup {
    /// On which connection.
    pub connection: Inert,
    /// Who asked.
    pub principal: Inert,
    /// The command.
    pub command: Inert,
    /// Under the policies in force, also a style.
    pub before: &'static str,
    /// The policies that decide so.
    pub before_policies: Inert,
    /// Under the version, also a style.
    pub after: &'static str,
    /// The policies that decide so.
    pub after_policies: Inert,
    /// How many.
    pub count: u64,
    /// Statements, each with its session.
    pub examples: Vec<(Inert, String)>,
}

/// One version.
#[derive(Debug, Template)]
#[template(path = "policy_version.html")]
pub struct PolicyVersionPage {
    /// The frame.
    pub shell: Shell,
    /// It.
    pub version: Version,
    /// Its text.
    pub text: Cedar,
    /// With what it is compared; none: with nothing.
    pub from: Option<i64>,
    /// How it differs from that.
    pub diff: Vec<DiffLine>,
    /// Other versions, newest first.
    pub others: Vec<i64>,
    /// What it would have done.
    pub back_test: Option<BackTest>,
    /// How far back a test goes that is asked for.
    pub days: u32,
    /// Whether the person may write versions.
    pub may_edit: bool,
    /// Whether the person may put them in force.
    pub may_activate: bool,
    /// About what was just done.
    pub notice: Option<Notice>,
}

impl PolicyVersionPage {
    fn is_compared_with(&self, id: &i64) -> bool {
        self.from == Some(*id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_difference_have_their_style() {
        let lines = DiffLine::of("--- nothing\n+++ version 1\n@@ -0,0 +1 @@\n+<b>\n-x\n y\n");
        let of: Vec<(&str, String)> = lines.iter().map(|l| (l.class, l.text.plain())).collect();
        let expected = [("place", "@@ -0,0 +1 @@"), ("added", "+<b>"), ("removed", "-x"), ("", " y")];
        assert_eq!(of, expected.map(|(class, text)| (class, text.to_owned())));
    }
}
