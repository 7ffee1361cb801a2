//! The context of a request, as far as the policies at hand read it.
use crate::{entities::principal_uid, reads::Reads};
use cedar_policy::{Context, RestrictedExpression};
use doorward_enforce::{Circumstances, Subject};
use doorward_model::Access;

/// Builds the attributes that are read. What no policy of a slice reads is left out: making a time or an
/// address costs more than the rest of a decision.
pub(crate) fn context(reads: Reads, access: &Access, c: &Circumstances<'_>, subject: &Subject) -> Option<Context> {
    let mut pairs: Vec<(String, RestrictedExpression)> = Vec::new();
    let mut put = |name: &str, value: &dyn Fn() -> RestrictedExpression| {
        if reads.contains(name) {
            pairs.push((name.to_owned(), value()));
        }
    };
    let secs = c.now.as_secs();
    let (days, second_of_day) = (secs / 86_400, secs % 86_400);
    put("approved", &|| RestrictedExpression::new_bool(c.approved));
    put("approvers", &|| strings(c.approvers.iter().map(|a| &a.id)));
    put("approver_groups", &|| strings(c.approvers.iter().flat_map(|a| &a.groups)));
    put("has_where", &|| RestrictedExpression::new_bool(access.has_where));
    put("as_root", &|| RestrictedExpression::new_bool(access.as_root));
    put("command", &|| RestrictedExpression::new_string(c.command.to_string()));
    put("statements", &|| RestrictedExpression::new_long(i64::from(c.statements)));
    put("client_ip", &|| RestrictedExpression::new_ip(subject.client_ip.to_canonical().to_string()));
    put("tls", &|| RestrictedExpression::new_bool(subject.tls));
    put("now", &|| RestrictedExpression::new_datetime(iso(c.now.as_micros())));
    put("hour", &|| long(second_of_day / 3600));
    put("minute", &|| long(second_of_day / 60 % 60));
    // 1970-01-01 was a Thursday, which is 4.
    put("weekday", &|| long((days + 3) % 7 + 1));
    // Where somebody acts for somebody else, and else left out.
    if let Some(person) = subject.principal.person() {
        for (name, who) in [("actor", &subject.principal), ("on_behalf_of", person)] {
            if reads.contains(name) {
                pairs.push((name.to_owned(), RestrictedExpression::new_entity_uid(principal_uid(who)?)));
            }
        }
    }
    Context::from_pairs(pairs).ok()
}

fn long(n: u64) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(n).unwrap_or(i64::MAX))
}

fn strings<'a>(values: impl Iterator<Item = &'a String>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.map(|v| RestrictedExpression::new_string(v.clone())))
}

/// `2026-01-31T12:00:00.000Z`, as Cedar's datetime reads it.
fn iso(micros: u64) -> String {
    let (days, rest) = (micros / 86_400_000_000, micros % 86_400_000_000);
    // Civil date from days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (h, m, s, ms) = (rest / 3_600_000_000, rest / 60_000_000 % 60, rest / 1_000_000 % 60, rest / 1000 % 1000);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::iso;

    #[test]
    fn times_are_written_as_cedar_reads_them() {
        assert_eq!(iso(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso(1_709_210_096_789_000), "2024-02-29T12:34:56.789Z");
    }
}
