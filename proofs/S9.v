(** S9, KL budget.

    Python, [sharpening.get_theorem("S9").statement]:

    "As long as every step is comonotone, KL(pi_t || pi_0) <= -log max pi_0 for
    KL-prox, natural gradient, softmax gradient and GRPO: a prompt whose KL exceeds
    its prior's min-entropy has left sharpening, and no label is needed to say so."

    Coq, below: [S9], for any sequence of these updates and of rewards, each step
    with its own; and [S9_left_sharpening], the second half. [m] is a mode of the
    prior, so that [pi 0 m] is max pi_0. Updates are the exact ones, of infinitely
    many rollouts, as in Python. Nothing of the statement is left out; that the
    bound is attained (S10) is not here. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp Require Import mathcomp_extra boolp classical_sets reals topology normedtype.
From mathcomp Require Import sequences exp.
From sharpening Require Import Policies.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section S9.
Variables (R : realType) (A : finType).
Implicit Types (p q r d : A -> R) (a b m : A) (u : update R).

(** KL(p || q) in nats; an answer that p does not give adds 0. *)
Definition kl p q := \sum_a p a * ln (p a / q a).

(** No answer that is possible gains more logit than the mode. *)
Lemma direction_mode u p r m : policy p -> sensible u -> comonotone p r -> mode p m ->
  forall a, 0 < p a -> direction u p r a <= direction u p r m.
Proof.
move=> pp size up pm a pa; have ra : r a <= r m := up a m pa (pm a).
have pm0 : 0 < p m := lt_le_trans pa (pm a).
have meanm : mean p r <= r m by apply: mean_le => // b pb; exact: up.
have weighed : p a * (r a - mean p r) <= p m * (r m - mean p r).
  have [neg|pos] := leP (r a - mean p r) 0.
    apply: le_trans (_ : 0 <= _); first by rewrite pmulr_rle0.
    by rewrite pmulr_rge0 // subr_ge0.
  apply: le_trans (_ : p m * (r a - mean p r) <= _); first by rewrite ler_pmul2r.
  by rewrite ler_pmul2l // ler_add2r.
case: u size => [beta|h|h eps|h|h eps] /=.
- by move=> beta0; rewrite ler_pmul2r ?invr_gt0.
- by move=> h0; rewrite ler_pmul2l // ler_add2r.
- case/andP=> h0 eps0; rewrite ler_pmul2l // ler_wpmul2r ?ler_add2r //.
  by rewrite invr_ge0 addr_ge0 ?std_ge0.
- by move=> h0; rewrite ler_pmul2l.
- case/andP=> h0 eps0; rewrite ler_pmul2l // !mulrA ler_wpmul2r //.
  by rewrite invr_ge0 addr_ge0 ?std_ge0.
Qed.

(** A run: at each step an update and a reward of its own, comonotone with the
    policy as it then is. *)
Variables (pi : nat -> A -> R) (u : nat -> update R) (r : nat -> A -> R) (t : nat).
Definition comonotone_step k :=
  [/\ sensible (u k), comonotone (pi k) (r k) & pi k.+1 = step (direction (u k) (pi k) (r k)) (pi k)].

Hypotheses (prior : policy (pi 0%N)) (sharpening : forall k, (k < t)%N -> comonotone_step k).
Variable m : A.
Hypothesis mode0 : mode (pi 0%N) m.

(** The mode stays one, and no answer has grown by a larger factor than it. *)
Lemma mode_gains_most k : (k <= t)%N ->
  [/\ policy (pi k), mode (pi k) m & forall a, pi k a * pi 0%N m <= pi k m * pi 0%N a].
Proof.
elim: k => [|k IH] kt; first by split=> // a; rewrite mulrC.
have [pp pm most] := IH (ltnW kt); have [size up ->] := sharpening kt.
set d := direction _ _ _; have Z := mean_exp_gt0 d pp.
have pm0 := policy_mode_gt0 pp pm; case: (pp) => p0 _.
have dm a : 0 < pi k a -> expR (d a) <= expR (d m).
  by move=> pa; rewrite ler_expR; exact: direction_mode.
have gains a : pi k a * expR (d a) <= pi k a * expR (d m).
  have := p0 a; rewrite le_eqVlt => /predU1P[<-|pa]; first by rewrite !mul0r.
  by rewrite ler_pmul2l // dm.
split=> [||a]; first exact: step_policy.
  move=> a; rewrite /step /tilt ler_pmul2r ?invr_gt0 //; apply: le_trans (gains a) _.
  by rewrite ler_pmul2r ?expR_gt0.
rewrite /step /tilt ![_ / _ * _]mulrAC ler_pmul2r ?invr_gt0 //.
apply: le_trans (_ : pi k a * expR (d m) * pi 0%N m <= _).
  by rewrite ler_wpmul2r // (proj1 prior).
by rewrite mulrAC [leRHS]mulrAC ler_pmul2r ?expR_gt0.
Qed.

(** *** The theorem: [m] is a mode of the prior, so [pi 0 m] is its largest mass. *)
Theorem S9 : kl (pi t) (pi 0%N) <= - ln (pi 0%N m).
Proof.
have [pp pm most] := mode_gains_most (leqnn t).
have m0 := policy_mode_gt0 prior mode0; have [p0 _] := pp.
apply: (@mean_le _ _ (pi t) (fun a => ln (pi t a / pi 0%N a))) => // a pa.
have qa : 0 < pi 0%N a.
  rewrite lt_def (proj1 prior) andbT; apply: contraTneq (most a) => ->.
  by rewrite mulr0 -ltNge mulr_gt0.
rewrite -lnV ?posrE // ler_ln ?posrE ?invr_gt0 ?divr_gt0 //.
rewrite ler_pdivr_mulr // ler_pdivl_mull // mulrC; apply: le_trans (most a) _.
by rewrite ler_pimull ?policy_le1 // ltW.
Qed.

(** So a prompt that has spent more has left sharpening: some step was not comonotone. *)
End S9.

Corollary S9_left_sharpening (R : realType) (A : finType) (pi : nat -> A -> R) u r t m :
  policy (pi 0%N) -> mode (pi 0%N) m -> - ln (pi 0%N m) < kl (pi t) (pi 0%N) ->
  exists2 k, (k < t)%N & ~ comonotone_step pi u r k.
Proof.
move=> pp pm spent; apply: contrapT => none; move: spent; rewrite ltNge => /negP; apply.
apply: (@S9 _ _ pi u r) => // k kt; apply: contrapT => not_k; apply: none; by exists k.
Qed.
