//! The tables of the tests of what is hidden in MySQL and MariaDB, and a client that asks.
#![allow(dead_code, reason = "each test uses a part")]
use crate::common::mysql::MySqlWorld;
use doorward_testkit::{MySql, MySqlRelease};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

const POLICY: &str = r#"
@id("all") permit (principal, action, resource) unless { action == Action::"reveal" };
@id("kinds") permit (principal, action == Action::"reveal", resource is DataType);
@id("columns") permit (principal, action == Action::"reveal", resource is Column)
unless { resource.tags.contains("pii") && !(principal in Group::"pii-readers") };
@id("by-ssn") permit (principal in Group::"support", action == Action::"filter", resource == Column::"orders/public.customers.ssn");
"#;

/// Tables with values, anew.
pub(crate) const SCHEMA: &str = include_str!("schema.sql");
/// Other values where nobody may see them.
pub(crate) const OTHERWISE: &str = include_str!("otherwise.sql");

pub(crate) const TAGS: &str = r#"tls = "disable"
tags = { "public.customers.email" = ["pii"], "public.customers.card" = ["pii"], "public.customers.ssn" = ["pii"], "public.customers.born" = ["pii"], "public.customers.score" = ["pii"], "public.customers.balance" = ["pii"], "public.customers.kind" = ["pii"], "public.people.ssn" = ["pii"], "public.ranks.score" = ["pii"], "public.staff.salary" = ["pii"], "public.unseen.secret" = ["pii"], "public.graded.salary" = ["pii"], "public.pay.salary" = ["pii"], "public.labels.salary" = ["pii"], "public.spread.salary" = ["pii"], "public.capped.salary" = ["pii"], "public.mailed.email" = ["pii"], "public.codes.code" = ["pii"], "public.slugs.slug" = ["pii"], "public.soft.email" = ["pii"], "public.children.secret" = ["pii"], "public.kept.secret" = ["pii"], "public.keyless.code" = ["pii"], "public.spans.s" = ["pii"], "public.spans.e" = ["pii"], "other.\"Odd t\".ssn" = ["pii"] }"#;

pub(crate) fn world(release: MySqlRelease) -> MySqlWorld {
    over(release, TAGS)
}

/// The same with other tags.
pub(crate) fn over(release: MySqlRelease, tags: &str) -> MySqlWorld {
    let server = MySql::options().release(release).database("public").start().unwrap();
    server.exec(&format!("grant all on *.* to '{}'@'%'", server.user())).unwrap();
    server.exec(SCHEMA).unwrap();
    MySqlWorld::over(server, POLICY, tags)
}

/// A client that goes on, so that one session has said all.
pub(crate) struct Asked {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Asked {
    pub(crate) fn new(client: Command) -> Self {
        let mut shell = Command::new("sh");
        // Errors where they were made.
        shell.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(client.get_program()).args(client.get_args());
        shell.args(["--force", "--unbuffered", "--comments", "--column-names", "-vv"]);
        for (name, value) in client.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    /// All that is answered to one text, with errors, counts and names of columns.
    pub(crate) fn says(&mut self, text: &str) -> String {
        let input = format!("delimiter ;;\n{text}\n;;\ndelimiter ;\nrollback;\nselect '---end' as '---name';\n");
        let written = self.input.write_all(input.as_bytes());
        let mut out = String::new();
        loop {
            let mut line = Vec::new();
            assert!(self.output.read_until(b'\n', &mut line).unwrap() > 0, "{text}: {out} {written:?}");
            let line = String::from_utf8_lossy(&line);
            if line.trim_end() == "---end" {
                return out;
            }
            out.push_str(&line);
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let _over = self.child.kill();
        let _over = self.child.wait();
    }
}
