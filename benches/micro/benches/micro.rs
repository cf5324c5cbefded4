//! The loops of this package, timed by criterion.

use std::time::Instant;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for body in switchboard_micro::all() {
        criterion.bench_function(body.name, |bencher| {
            let mut rounds = (body.setup)();
            bencher.iter_custom(|count| {
                let since = Instant::now();
                rounds(count);
                since.elapsed()
            });
        });
    }
    criterion.final_summary();
}
