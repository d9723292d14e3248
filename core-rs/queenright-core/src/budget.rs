//! How often a rule may be used: an exact count, a least gap, and a rate. Time is handed in.

/// One rate: `count` uses in `per_ms`, in bursts of at most `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub per_ms: u64,
}

const NS_PER_MS: u128 = 1_000_000;

impl Rate {
    /// The generic cell rate algorithm (ITU-T I.371): the theoretical arrival time (ns) after `cost` uses at `now_ms`,
    /// or the first millisecond at which they would conform. Every rounding and every saturation slows.
    pub fn take(self, tat_ns: u128, now_ms: u64, cost: u64) -> Result<u128, u64> {
        let now = u128::from(now_ms) * NS_PER_MS;
        let count = u128::from(self.count.max(1));
        let interval = (u128::from(self.per_ms) * NS_PER_MS).div_ceil(count);
        let burst = interval * count;
        let next = tat_ns
            .max(now)
            .saturating_add(interval.saturating_mul(u128::from(cost)));
        if next <= now + burst {
            return Ok(next);
        }
        Err(u64::try_from((next - burst).div_ceil(NS_PER_MS)).unwrap_or(u64::MAX))
    }
}

/// An exact count. `used` is spent and durable, `held` is reserved by acts that have not started, `given` is what
/// live children were promised and have not used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    pub used: u64,
    pub held: u64,
    pub given: u64,
}

impl Budget {
    /// True if `cost` more fits under `max`. A use out of a promise needs no room beside the promises.
    pub fn fits(&self, cost: u64, max: Option<u64>, promised: bool) -> bool {
        let others = if promised { 0 } else { self.given };
        let wanted = [self.held, others, cost]
            .into_iter()
            .try_fold(self.used, u64::checked_add);
        match (wanted, max) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(wanted), Some(max)) => wanted <= max,
        }
    }

    /// The smallest `max` under which `cost` more fits; None if no u64 is large enough.
    pub fn needs(&self, cost: u64, promised: bool) -> Option<u64> {
        let others = if promised { 0 } else { self.given };
        [self.held, others, cost]
            .into_iter()
            .try_fold(self.used, u64::checked_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_allows_one_burst_and_then_its_pace() {
        let rate = Rate {
            count: 20,
            per_ms: 1000,
        };
        let mut tat = 0;
        for _ in 0..20 {
            tat = rate.take(tat, 5_000, 1).unwrap();
        }
        assert_eq!(rate.take(tat, 5_000, 1), Err(5_050));
        assert!(rate.take(tat, 5_049, 1).is_err());
        assert!(rate.take(tat, 5_050, 1).is_ok());
    }

    #[test]
    fn rate_never_conforms_above_its_burst() {
        let rate = Rate {
            count: 3,
            per_ms: 1000,
        };
        assert!(rate.take(0, 0, 4).is_err());
        assert_eq!(rate.take(u128::MAX, u64::MAX, u64::MAX), Err(u64::MAX));
    }

    #[test]
    fn budget_that_would_overflow_does_not_fit() {
        let full = Budget {
            used: u64::MAX,
            held: 0,
            given: 0,
        };
        assert!(!full.fits(1, None, false));
        assert!(!full.fits(1, Some(u64::MAX), false));
        assert_eq!(full.needs(1, false), None);
    }

    #[test]
    fn promise_is_kept_against_siblings_and_open_to_its_holder() {
        let budget = Budget {
            used: 0,
            held: 0,
            given: 2,
        };
        assert!(!budget.fits(1, Some(2), false));
        assert!(budget.fits(2, Some(2), true));
    }
}
