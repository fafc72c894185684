"""From a dataset folder to a commented configuration: fingerprint, rules, memory estimate, dry run."""
