(** What the theorems rest on besides Coq: the three axioms of mathcomp-analysis
    ([boolp]) that make its logic the classical one, and nothing else. *)
From sharpening Require Import Policies S1 S4 S9 U5.

Definition theorems := (
  @S1.S1, @S1_remainder, @S1_ratios, @S1_mode,
  (@S4.S4, @S4_replicator, @S4_schur_concave, @S4_mode, @S4_entropy, @S4_distinct_answers, @S4_majority),
  (@S9.S9, @S9_left_sharpening),
  (@U5_at_least, @U5_at_most, @U5_limit, @U5_no_collapse, @U5_tie)).

Print Assumptions theorems.
