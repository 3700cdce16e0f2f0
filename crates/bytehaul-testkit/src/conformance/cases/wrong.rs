//! Answers that cannot be right: none of them makes an upload complete that is not.

use crate::conformance::Bed;

/// Each of the endpoint's own lies, to the first request that it fits, and to the second.
pub async fn wrong_answers(bed: &Bed) {
    let part = bed.abilities().part;
    for lie in bed.endpoint.lies() {
        for after in 0..2 {
            let mut trial = bed.trial(format!("{}, after {after}", lie.what), 3 * part + 100);
            trial.job.retries = 1;
            bed.gate().set([lie.fault.clone().after(after)]);
            let ended = trial.ends().await;
            match ended {
                Ok(done) => drop(trial.is_complete(Ok(done))),
                ended => drop(trial.has_failed(ended, lie.codes)),
            }
        }
    }
}
