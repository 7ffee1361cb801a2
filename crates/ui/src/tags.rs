//! What is called sensitive, and what that means.
use crate::{Inert, Notice, Shell};
use askama::Template;

/// Something of a connection that has tags.
#[derive(Clone, Debug)]
pub struct Tagged {
    /// What: `public.customers.ssn`.
    pub object: Inert,
    /// Its tags.
    pub tags: Vec<Inert>,
    /// Where recorded requests are that mention it; none where the person may not see them.
    pub audit: Option<String>,
}

/// A connection with its tags.
#[derive(Clone, Debug)]
pub struct TaggedConnection {
    /// Its name.
    pub name: Inert,
    /// Its kind.
    pub kind: Inert,
    /// What is tagged, by name.
    pub tagged: Vec<Tagged>,
    /// The version that is shown: of one whose tags the person may change here.
    pub version: Option<i64>,
    /// Whether it is kept here; else it is in the configuration file.
    pub stored: bool,
    /// An object to show as an example.
    pub example: &'static str,
    /// What was typed and not taken: an object, and its tags.
    pub typed: Option<(String, String)>,
}

/// A policy that names a tag or a kind of value.
#[derive(Clone, Debug)]
pub struct Naming {
    /// Its name.
    pub id: Inert,
    /// Whether it forbids.
    pub forbids: bool,
    /// Its reason.
    pub reason: Option<Inert>,
    /// What replaces the values that it hides.
    pub mask: Option<String>,
}

/// What a tag or a kind of value means to policies.
#[derive(Clone, Debug)]
pub struct Meaning {
    /// The tag, or the kind.
    pub name: Inert,
    /// Whether the gateway gives the tag by itself.
    pub built_in: bool,
    /// How many objects have the tag, of those that the person sees.
    pub count: usize,
    /// The policies that name it.
    pub policies: Vec<Naming>,
}

/// What is tagged, and what policies make of it.
#[derive(Debug, Template)]
#[template(path = "tags.html")]
pub struct TagsPage {
    /// The frame.
    pub shell: Shell,
    /// What to say first.
    pub notice: Option<Notice>,
    /// The connections that the person may see.
    pub connections: Vec<TaggedConnection>,
    /// What tags mean; none where the person may not see policies.
    pub tags: Option<Vec<Meaning>>,
    /// What the kinds of values mean that are found in text.
    pub types: Vec<Meaning>,
    /// Whether the person may register connections.
    pub may_add: bool,
}
