//! What the annotations of a policy say.
use cedar_policy::{Effect, Policy};
use doorward_enforce::{Escalation, PolicyInfo};
use std::time::Duration;

/// How long a held request waits where the policy does not say.
const EXPIRES: Duration = Duration::from_secs(15 * 60);
/// The longest that a held request may wait.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Reads the annotations of a policy. `asks` says whether it reads an approval from the context.
///
/// # Errors
/// What is wrong with them, in words.
pub(crate) fn understand(policy: &Policy, id: &str, asks: bool) -> Result<PolicyInfo, String> {
    let mut info = PolicyInfo {
        id: id.to_owned(),
        reason: None,
        approvers: Vec::new(),
        quorum: 1,
        expires: EXPIRES,
        escalation: None,
        break_glass: Vec::new(),
        mask: None,
    };
    for (name, value) in policy.annotations() {
        match name {
            "id" => {}
            "reason" if !value.trim().is_empty() => info.reason = Some(value.to_owned()),
            "reason" => return Err("@reason is empty".into()),
            "approvers" => info.approvers = groups(name, value)?,
            "escalate" => info.escalation = Some(escalation(value)?),
            "break_glass" => info.break_glass = groups(name, value)?,
            "quorum" => info.quorum = quorum(value)?,
            "expires" => info.expires = expires(value)?,
            "mask" => info.mask = Some(value.parse().map_err(|e| format!("@mask: {e}"))?),
            other => {
                return Err(format!(
                    "unknown annotation `@{other}`; known are @id, @reason, @approvers, @quorum, @expires, @escalate, \
                     @break_glass, @mask"
                ));
            }
        }
    }
    if asks && info.approvers.is_empty() {
        return Err("it asks for an approval, but no @approvers annotation says who may give it".into());
    }
    if info.escalation.as_ref().is_some_and(|e| e.after >= info.expires) {
        return Err("@escalate comes into force after @expires: nobody would be asked by it".into());
    }
    if policy.effect() == Effect::Permit && info.mask.is_some() {
        return Err("@mask belongs on a forbid: a permit reveals".into());
    }
    Ok(info)
}

/// Annotations that have no effect: likely a slip.
pub(crate) fn idle(policy: &Policy, asks: bool, may_be_reveal: bool) -> Vec<String> {
    let mut out = Vec::new();
    if !asks {
        let all = ["approvers", "quorum", "expires", "escalate", "break_glass"];
        let about_approval = all.into_iter().filter(|n| policy.annotation(n).is_some());
        out.extend(about_approval.map(|n| format!("@{n} has no effect: the policy does not read `context.approved`")));
    }
    if policy.annotation("mask").is_some() && !may_be_reveal {
        out.push("@mask has no effect: the policy is not about `reveal`".into());
    }
    out
}

/// `sre-leads, managers after 10m`.
fn escalation(value: &str) -> Result<Escalation, String> {
    let wrong = || format!("@escalate(\"{value}\") is not groups and a duration, such as \"leads after 10m\"");
    let (names, after) = value.rsplit_once(" after ").ok_or_else(wrong)?;
    let after = duration(after.trim()).ok_or_else(wrong)?;
    Ok(Escalation { groups: groups("escalate", names)?, after })
}

fn groups(name: &str, value: &str) -> Result<Vec<String>, String> {
    let groups: Vec<String> = value.split(',').map(|g| g.trim().to_owned()).collect();
    if groups.iter().any(String::is_empty) {
        return Err(format!("@{name}(\"{value}\") must name groups, separated by commas"));
    }
    Ok(groups)
}

fn quorum(value: &str) -> Result<u32, String> {
    let number = value.parse().ok().filter(|n| (1..=64).contains(n));
    number.ok_or_else(|| format!("@quorum(\"{value}\") is not a number from 1 to 64"))
}

fn expires(value: &str) -> Result<Duration, String> {
    let d = duration(value).ok_or_else(|| format!("@expires(\"{value}\") is not a duration such as 30s, 15m or 2h"))?;
    if d > LONGEST_WAIT {
        return Err(format!("@expires(\"{value}\") is longer than seven days"));
    }
    Ok(d)
}

fn duration(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok().filter(|n| *n > 0)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(duration("2h"), Some(Duration::from_secs(7200)));
        for bad in
            ["", "s", "0s", "+3s", "-1m", "15", "1.5h", "2w", "é", "99999999999999999999d", "9999999999999999999d"]
        {
            assert_eq!(duration(bad), None, "{bad}");
        }
        assert!(expires("8d").is_err());
    }

    #[test]
    fn escalations() {
        let e = escalation("leads, managers after 10m").unwrap();
        assert_eq!((e.groups.len(), e.after), (2, Duration::from_secs(600)));
        assert_eq!(escalation("ever after after 1h").unwrap().groups, ["ever after"]);
        for bad in ["leads", "leads after", "leads after soon", "after 10m", " after 10m", "a,,b after 1m"] {
            assert!(escalation(bad).is_err(), "{bad}");
        }
    }
}
