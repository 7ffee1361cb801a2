//! What a command line is made of, as far as it matters for what it would do.
use std::{cell::OnceCell, rc::Rc};

/// Commands in the order in which they may run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) pipelines: Vec<Pipeline>,
}

/// Commands joined by `|`.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pub(crate) nodes: Vec<Node>,
    /// When it runs.
    pub(crate) after: After,
    /// It runs beside what follows (`&`): what it sets stays its own.
    pub(crate) background: bool,
    /// What failed counts as done (`!`).
    pub(crate) negated: bool,
}

/// When a pipeline runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// After what stands before it.
    Always,
    /// If that ended well (`&&`).
    Success,
    /// If that ended badly (`||`).
    Failure,
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Simple(Simple),
    /// `{ …; }`
    Group(Script, Vec<Redirect>),
    /// `( … )`
    Subshell(Script, Vec<Redirect>),
    /// `if`, `case`: parts that may run or not.
    Branches(Vec<Word>, Vec<Script>, Vec<Redirect>),
    /// `for`, `while`, `until`: parts that may run any number of times.
    Loop {
        variable: Option<String>,
        words: Vec<Word>,
        bodies: Vec<Script>,
        redirects: Vec<Redirect>,
    },
    Function {
        name: String,
        body: Box<Node>,
    },
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Simple {
    pub(crate) assignments: Vec<Assignment>,
    pub(crate) words: Vec<Word>,
    pub(crate) redirects: Vec<Redirect>,
}

#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    pub(crate) name: String,
    pub(crate) append: bool,
    pub(crate) value: Word,
}

#[derive(Clone, Debug)]
pub(crate) struct Redirect {
    /// Whether it is standard input that it changes.
    pub(crate) stdin: bool,
    /// It names a descriptor beyond the three that every program has.
    pub(crate) high: bool,
    pub(crate) to: Target,
}

#[derive(Clone, Debug)]
pub(crate) enum Target {
    Read(Word),
    Write(Word),
    ReadWrite(Word),
    /// `<<<`
    Text(Word),
    /// `<<`: the text, once its lines were read.
    Here(Rc<OnceCell<Vec<Part>>>),
    /// Another file descriptor.
    Descriptor,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Word {
    pub(crate) parts: Vec<Part>,
    /// As written.
    pub(crate) raw: String,
}

#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// Plain characters.
    Text(String),
    /// Characters in quotes or behind a backslash.
    Quoted(String),
    /// `*`, `?`, `[` outside quotes.
    Pattern(char),
    /// `~` or `~name` at the beginning.
    Tilde(String),
    Variable {
        name: String,
        quoted: bool,
    },
    /// Something with an effect: `$(…)`, `` `…` ``, `<(…)`.
    Command(Box<Script>),
    /// A value that is only known when it runs, and why.
    Unknown(&'static str),
    /// As `Unknown`, and its evaluation may run code of its own.
    Risky(&'static str),
}
