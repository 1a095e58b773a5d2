//! What attacks do to an honest peer, and to the kernel that they are made on. `ATTACK=drop` in the environment looks only at those
//! with that in their names.

use std::time::Instant;

use cost::attacks;

#[test]
fn no_attack_harms_others_or_costs_more_than_it_should() {
    let without = attacks::run(None);
    println!("no attack\n    {without}");
    let only = std::env::var("ATTACK").unwrap_or_default();
    let mut broken = Vec::new();
    for attack in attacks::ATTACKS.iter().filter(|attack| attack.name.contains(&only)) {
        let begun = Instant::now();
        let (figures, breaks) = attacks::check(attack, &without);
        println!("{} ({:.1} s)\n    {figures}", attack.name, begun.elapsed().as_secs_f64());
        println!("    {:?}, {} rows more", figures.rates(&without), figures.left.difference(&without.left).count());
        broken.extend(breaks);
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_run_comes_out_the_same_each_time() {
    let Some(attack) = attacks::ATTACKS.iter().find(|attack| attack.name.contains("1 MB")) else { return };
    assert_eq!(attacks::run(Some(attack)), attacks::run(Some(attack)));
}
