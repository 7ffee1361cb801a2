//! How much of the servers' own grammar is read, measured with the statements of their own test suites.
//!
//! Not run with the other tests: the suites are big and not ours to keep. `scripts/measure-mysql-grammar` fetches them and
//! writes what comes out into docs/protocols/mysql-grammar.md.
use crate::{Oracle, client::Client};
use anyhow::{Context as _, Result};
use doorward_sql::mysql::analyse;
use doorward_testkit::MySqlRelease;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

/// Errors of the servers' parsers: ER_PARSE_ERROR, ER_SYNTAX_ERROR, ER_EMPTY_QUERY, ER_INVALID_CHARACTER_STRING and their kin.
const SYNTAX: &[u16] = &[1064, 1065, 1149, 1300, 3988];

/// Words of the language of the test suites, which are no SQL.
const COMMANDS: &str = " append_file assert cat_file change_user character_set chmod connect connection copy_file copy_files_wildcard \
dec delimiter die diff_files dirty_close disable_abort_on_error disable_info disable_query_log disable_reconnect disable_result_log \
disable_warnings disconnect echo enable_abort_on_error enable_info enable_query_log enable_result_log enable_warnings end end_timer \
error eval eval_result evalp exec exec_in_background exit expr file_exists force-cpdir force-rmdir horizontal_results if inc let list_files \
lowercase_result mkdir move_file perl ping ps_protocol query query_get_value query_horizontal query_vertical reap remove_file \
remove_files_wildcard replace_column replace_numeric_round replace_regex replace_result require reset_connection result result_format rmdir \
save_master_pos send send_eval send_quit send_shutdown shutdown_server skip skip_if_hypergraph sleep sorted_result source start_timer sync_slave_with_master \
sync_with_master system vertical_results wait_for_slave_to_stop while write_file write_line exec_continue } ";

/// The statements of a suite.
fn statements(folder: &Path, out: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            statements(&path, out)?;
        } else if path.extension().is_some_and(|e| e == "test" || e == "inc")
            && let Ok(text) = fs::read_to_string(&path)
        {
            of_file(&text, out);
        }
    }
    Ok(())
}

fn of_file(text: &str, out: &mut BTreeSet<String>) {
    let mut delimiter = ";".to_owned();
    let mut statement = String::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if statement.is_empty() && (trimmed.is_empty() || trimmed.starts_with('#') || trimmed.starts_with("--")) {
            continue;
        }
        if statement.is_empty() {
            let word = trimmed
                .split(|c: char| c.is_whitespace() || "(;{".contains(c))
                .next()
                .unwrap_or_default()
                .to_lowercase();
            if word == "delimiter" {
                let new = trimmed.split_whitespace().nth(1).unwrap_or(";");
                let new = new.strip_suffix(delimiter.as_str()).filter(|n| !n.is_empty()).unwrap_or(new);
                delimiter = new.to_owned();
                continue;
            }
            if COMMANDS.contains(&format!(" {word} ")) {
                continue;
            }
        }
        if trimmed.starts_with('#') {
            continue;
        }
        statement.push_str(line);
        statement.push('\n');
        if let Some(done) = trimmed.strip_suffix(delimiter.as_str()) {
            let end = statement.trim_end().len() - delimiter.len();
            statement.truncate(end);
            let _ = done;
            let whole = std::mem::take(&mut statement);
            // Variables of the suite are no SQL.
            if !whole.contains('$') && whole.len() < 20_000 {
                out.insert(whole.trim().to_owned());
            }
        }
        if statement.len() > 50_000 {
            statement.clear();
        }
    }
}

#[derive(Default)]
struct Count {
    tried: usize,
    taken: usize,
    read: usize,
    only_us: usize,
    /// Statements to which the server has another error than to what was printed of them.
    differ: Vec<String>,
    /// Statements that are not read, with why.
    missed: Vec<String>,
    gaps: BTreeMap<String, (usize, String)>,
}

/// The first words of a statement, by which gaps are grouped.
fn heading(text: &str) -> String {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|w| !w.is_empty()).take(2);
    words.map(str::to_uppercase).collect::<Vec<_>>().join(" ")
}

fn measure(oracle: &Oracle, texts: &BTreeSet<String>) -> Result<Count> {
    let env = oracle.environment("");
    let mut client = oracle.client("")?;
    let mut out = Count::default();
    for text in texts {
        let error = match client.prepare(text.as_bytes()) {
            Ok(error) => error,
            Err(_) => {
                client = Client::connect(&oracle.server.socket(), "shop")?;
                continue;
            }
        };
        out.tried += 1;
        let taken = error.is_none_or(|e| !SYNTAX.contains(&e));
        let analysis = analyse(text.as_bytes(), &env);
        let printed = crate::printed(&analysis);
        let read = printed.is_some();
        if let (true, [_], Some(printed)) = (taken, analysis.statements.as_slice(), &printed) {
            // The server has the same to say to what is forwarded.
            match client.prepare(printed) {
                Ok(again) if again == error => {}
                Ok(again) => {
                    out.differ.push(format!("{error:?} {again:?}\n{text}\n{}", String::from_utf8_lossy(printed)))
                }
                Err(_) => client = Client::connect(&oracle.server.socket(), "shop")?,
            }
        }
        out.taken += usize::from(taken);
        out.read += usize::from(taken && read);
        out.only_us += usize::from(!taken && read);
        if taken && !read {
            let why = analysis.facts.accesses.iter().map(|a| a.resource.to_string()).collect::<Vec<_>>().join(", ");
            out.missed.push(format!("{why}\n{text}"));
            let gap = out.gaps.entry(heading(text)).or_default();
            gap.0 += 1;
            if gap.1.is_empty() || text.len() < gap.1.len() {
                gap.1.clone_from(text);
            }
        }
    }
    Ok(out)
}

fn report(name: &str, count: &Count) -> String {
    let percent = 100.0 * count.read as f64 / count.taken.max(1) as f64;
    let mut out = format!(
        "## {name}\n\n{} statements, of which its grammar takes {}. Read: {} ({percent:.1} %). Not read: {}. Read, although it does not \
         take them: {}. Answered otherwise when printed: {}.\n\n| not read | count | the shortest |\n|---|---|---|\n",
        count.tried,
        count.taken,
        count.read,
        count.taken - count.read,
        count.only_us,
        count.differ.len()
    );
    let mut gaps: Vec<_> = count.gaps.iter().collect();
    gaps.sort_by_key(|(heading, (n, _))| (std::cmp::Reverse(*n), (*heading).clone()));
    for (heading, (n, example)) in gaps.iter().take(60) {
        let short: String = example.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(110).collect();
        let short = short.replace('|', "\\|").replace('`', "'");
        let _infallible = writeln!(out, "| {heading} | {n} | `{short}` |");
    }
    if gaps.len() > 60 {
        let rest: usize = gaps.iter().skip(60).map(|(_, (n, _))| n).sum();
        let _infallible = writeln!(out, "| {} others | {rest} | |", gaps.len() - 60);
    }
    out.push('\n');
    out
}

#[test]
#[ignore = "needs the servers' test suites: scripts/measure-mysql-grammar"]
fn the_gaps_are_measured() -> Result<()> {
    let folder = std::env::var("DOORWARD_MYSQL_SUITES")
        .context("DOORWARD_MYSQL_SUITES: a folder with `mysql` and `mariadb` in it")?;
    let target = std::env::var("DOORWARD_MYSQL_REPORT").context("DOORWARD_MYSQL_REPORT: the file to write")?;
    let mut text = include_str!("grammar.md").to_owned();
    let releases = [("mysql", MySqlRelease::MySql9), ("mariadb", MySqlRelease::DebianMariaDb)];
    for (suite, release) in releases {
        let Some(oracle) = Oracle::start(release)? else { continue };
        let mut texts = BTreeSet::new();
        statements(&Path::new(&folder).join(suite), &mut texts)?;
        let count = measure(&oracle, &texts)?;
        if let Ok(file) = std::env::var("DOORWARD_MYSQL_DIFFERENCES") {
            fs::write(format!("{file}.{suite}"), count.differ.join("\n\n"))?;
            fs::write(format!("{file}.{suite}.missed"), count.missed.join("\n\n"))?;
        }
        let name = if release.is_mariadb() { "MariaDB" } else { "MySQL" };
        text.push_str(&report(&format!("{name} {}", oracle.server.version()), &count));
    }
    fs::write(target, text.trim_end().to_owned() + "\n")?;
    Ok(())
}
