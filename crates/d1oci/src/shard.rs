//! The share of the work that one of several machines does.

use std::str::FromStr;

use crate::environment::Environment;
use crate::failure::Failure;

/// A share, as the command line names it: `I/N`, `auto` or `auto/N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShardArgument {
    /// The number of the share, from 0, and the number of shares.
    Fixed(u64, u64),
    /// The scheduler's variables name the share. Kubernetes does not name the number of shares.
    Auto(Option<u64>),
}

/// The variables of a scheduler that runs an array of jobs.
struct Scheduler {
    name: &'static str,
    index: &'static str,
    /// The variable of the first index. Without one, indexes begin at 0.
    first: Option<&'static str>,
    /// The variable of the distance between indexes. Without one, it is 1.
    step: Option<&'static str>,
    count: Option<&'static str>,
}

/// Sources: Kubernetes, “Indexed Job”; Slurm, “Job Array Support”, section “Job ID and Environment Variables”; AWS
/// Batch, “AWS Batch job environment variables”.
const SCHEDULERS: [Scheduler; 3] = [
    Scheduler {
        name: "Slurm",
        index: "SLURM_ARRAY_TASK_ID",
        first: Some("SLURM_ARRAY_TASK_MIN"),
        step: Some("SLURM_ARRAY_TASK_STEP"),
        count: Some("SLURM_ARRAY_TASK_COUNT"),
    },
    Scheduler {
        name: "AWS Batch",
        index: "AWS_BATCH_JOB_ARRAY_INDEX",
        first: None,
        step: None,
        count: Some("AWS_BATCH_JOB_ARRAY_SIZE"),
    },
    Scheduler { name: "Kubernetes", index: "JOB_COMPLETION_INDEX", first: None, step: None, count: None },
];

impl FromStr for ShardArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected I/N, with I from 1 to N, or `auto`, or `auto/N`".to_owned();
        let (number, count) = match text.split_once('/') {
            None if text == "auto" => return Ok(Self::Auto(None)),
            None => return Err(wrong()),
            Some((number, count)) => (number, count.parse::<u64>().map_err(|_| wrong())?),
        };
        match number.parse::<u64>() {
            _ if number == "auto" && count > 0 => Ok(Self::Auto(Some(count))),
            Ok(number) if (1..=count).contains(&number) => Ok(Self::Fixed(number - 1, count)),
            _ => Err(wrong()),
        }
    }
}

impl ShardArgument {
    /// Returns the number of the share, from 0, and the number of shares.
    ///
    /// # Errors
    ///
    /// If the share comes from the scheduler, and its variables are missing or contradict each other.
    pub(crate) fn resolve(self, environment: &Environment) -> Result<(u64, u64), Failure> {
        let stated = match self {
            Self::Fixed(number, count) => return Ok((number, count)),
            Self::Auto(stated) => stated,
        };
        let found = SCHEDULERS.iter().find(|scheduler| environment.text(scheduler.index).is_some());
        let scheduler = found.ok_or_else(|| {
            let names: Vec<_> = SCHEDULERS.iter().map(|scheduler| scheduler.index).collect();
            Failure::usage("expected the variables of an array job for `--shard auto`, found none").with_hint(
                format!(
                    "run it in an array job, which sets {}, or write the share, as in `--shard 1/3`",
                    names.join(", ")
                ),
            )
        })?;
        scheduler.share(stated, environment)
    }
}

impl Scheduler {
    fn share(&self, stated: Option<u64>, environment: &Environment) -> Result<(u64, u64), Failure> {
        let index = number(environment, self.index)?;
        let first = self.first.map_or(Ok(0), |first| number(environment, first))?;
        let step = self.step.filter(|step| environment.text(step).is_some());
        let step = step.map_or(Ok(1), |step| number(environment, step))?.max(1);
        let count = match (stated, self.count) {
            (Some(count), _) => count,
            (None, Some(variable)) => number(environment, variable)?,
            (None, None) => {
                let message = format!("{} does not say how many shares there are", self.name);
                return Err(Failure::usage(message)
                    .with_hint("write the number of shares too, as in `--shard auto/3`"));
            }
        };
        match index.checked_sub(first).map(|above| (above / step, above % step)) {
            Some((number, 0)) if number < count => Ok((number, count)),
            _ => Err(Failure::usage(format!(
                "expected {count} consecutive indexes from {first} in steps of {step}, found {index} in `{}`",
                self.index
            ))),
        }
    }
}

fn number(environment: &Environment, variable: &str) -> Result<u64, Failure> {
    let text = environment.text(variable).unwrap_or_default();
    text.parse().map_err(|_| {
        Failure::usage(format!("expected a number in the variable `{variable}`, found `{text}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::ShardArgument;
    use crate::environment::Environment;

    #[test]
    fn shares_are_counted_from_one() {
        assert_eq!("1/2".parse(), Ok(ShardArgument::Fixed(0, 2)));
        assert_eq!("5/5".parse(), Ok(ShardArgument::Fixed(4, 5)));
        assert_eq!("auto".parse(), Ok(ShardArgument::Auto(None)));
        assert_eq!("auto/7".parse(), Ok(ShardArgument::Auto(Some(7))));
        for text in ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "auto/0", "auto/x", "automatic", ""] {
            assert!(text.parse::<ShardArgument>().is_err(), "{text}");
        }
    }

    #[test]
    fn schedulers_name_the_share() {
        let share = |argument: &str, variables: &[(&str, &str)]| {
            let environment = Environment::made_up(variables.iter().copied());
            argument.parse::<ShardArgument>().unwrap().resolve(&environment).ok()
        };
        let slurm = |id| {
            [
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_MIN", "1"),
                ("SLURM_ARRAY_TASK_STEP", "2"),
                ("SLURM_ARRAY_TASK_COUNT", "3"),
            ]
        };
        assert_eq!(share("auto", &slurm("1")), Some((0, 3)));
        assert_eq!(share("auto", &slurm("5")), Some((2, 3)));
        for wrong in ["0", "2", "7", "x"] {
            assert_eq!(share("auto", &slurm(wrong)), None, "{wrong}");
        }
        let batch = [("AWS_BATCH_JOB_ARRAY_INDEX", "3"), ("AWS_BATCH_JOB_ARRAY_SIZE", "4")];
        assert_eq!(share("auto", &batch), Some((3, 4)));
        let indexed = [("JOB_COMPLETION_INDEX", "0")];
        assert_eq!(share("auto", &indexed), None, "the number of shares is unknown");
        assert_eq!(share("auto/8", &indexed), Some((0, 8)));
        assert_eq!(share("auto", &[]), None);
        assert_eq!(share("2/3", &[]), Some((1, 3)));
    }
}
