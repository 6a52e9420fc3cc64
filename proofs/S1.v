(** S1, Logit law of the KL-prox.

    Python, [sharpening.get_theorem("S1").statement]:

    "Under the majority reward, k steps pi' ∝ pi exp(r/beta) with the previous
    policy as reference add exactly k/beta to the majority answer's log-odds, so
    1 - p_k = O(exp(-k/beta)); ratios of the other answers never change."

    Coq, below: [S1] (log-odds), [S1_remainder] (the O, with its constant),
    [S1_ratios], and [S1_mode]: the vote, asked anew at each step, keeps its winner.
    Assumed: a unique mode among the answers that may win the vote ([V]; "no
    answer" may not), as in Python. Python's other assumption, a step size that
    float64 resolves, is not needed. Nothing of the statement is left out. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp Require Import mathcomp_extra boolp classical_sets reals topology normedtype.
From mathcomp Require Import sequences exp.
From sharpening Require Import Policies.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section S1.
Variables (R : realType) (A : finType) (V : pred A) (beta : R) (p : A -> R) (m : A).
Hypotheses (beta_gt0 : 0 < beta) (pp : policy p) (pm : 0 < p m) (mode_m : unique_mode V p m).

(** Step k asks the vote of the policy that step k-1 left. *)
Definition majority_step (q : A -> R) := step (direction (KLProx beta) q (majority V q)) q.
Definition run k := iter k majority_step p.

Definition log_odds (q : A -> R) := ln (q m / (1 - q m)).

(** The reward of a run is 1 on m alone, and the policy in closed form. *)
Let boost k a : R := if a == m then expR (k%:R / beta) else 1.
Let Z k := p m * expR (k%:R / beta) + (1 - p m).

Let Z_gt0 k : 0 < Z k.
Proof. by rewrite ltr_spaddl ?mulr_gt0 ?expR_gt0 ?subr_ge0 ?policy_le1. Qed.

Let mean_boost k : mean p (boost k) = Z k.
Proof.
case: (pp) => _ p1; have {p1} -> : Z k = p m * expR (k%:R / beta) + \sum_(a | a != m) p a.
  by rewrite /Z -p1 (bigD1 m) //= addrAC subrr add0r.
rewrite /mean (bigD1 m) //= /boost eqxx; congr (_ + _).
by apply: eq_bigr => a /negbTE ->; rewrite mulr1.
Qed.

Let closed k a := p a * boost k a / Z k.

Let closed_policy k : policy (closed k).
Proof.
case: (pp) => p0 _; split=> [a|].
  apply: divr_ge0; last exact/ltW.
  by apply: mulr_ge0 => //; rewrite /boost; case: ifP => _; rewrite ?ler01 // ltW // expR_gt0.
by rewrite /closed -mulr_suml -/(mean p _) mean_boost divff // gt_eqF.
Qed.

Let closed_mode k : unique_mode V (closed k) m.
Proof.
case: (mode_m) => Vm lt_m; split=> // a Va am.
rewrite /closed ltr_pmul2r ?invr_gt0 // /boost eqxx (negbTE am) mulr1.
apply: lt_le_trans (lt_m a Va am) _; rewrite ler_pemulr ?(ltW pm) //.
by rewrite -[leLHS]expR0 ler_expR divr_ge0 ?ler0n // ltW.
Qed.

Lemma run_closed k : run k = closed k.
Proof.
elim: k => [|k IH].
  apply: funext => a; rewrite /closed /boost /Z !mul0r expR0 mulr1 addrC subrK divr1.
  by case: ifP => _; rewrite mulr1.
have closed_m : 0 < closed k m by rewrite /closed divr_gt0 // mulr_gt0 // /boost eqxx expR_gt0.
rewrite /run iterS -/(run k) IH /majority_step.
rewrite (majority_unique (closed_policy k) closed_m (closed_mode k)) /direction.
have up a : boost k a * expR ((a == m)%:R / beta) = boost k.+1 a.
  rewrite /boost; case: eqP => _; last by rewrite mul0r expR0 mulr1.
  by rewrite -expRD -mulrDl -natrD addn1.
have EZ : mean (closed k) (fun b => expR ((b == m)%:R / beta)) = Z k.+1 / Z k.
  rewrite -mean_boost /mean mulr_suml; apply: eq_bigr => a _.
  by rewrite /closed mulrAC -[_ * boost k a * _]mulrA up.
apply: funext => a; rewrite /step /tilt EZ /closed invf_div [_ / Z k * _]mulrAC -[_ * boost k a * _]mulrA up.
by rewrite mulrA divfK // gt_eqF.
Qed.

(** *** The theorem *)

(** m stays the winner of the vote, alone. *)
Theorem S1_mode k : unique_mode V (run k) m.
Proof. by rewrite run_closed. Qed.

Theorem S1_policy k : policy (run k).
Proof. by rewrite run_closed. Qed.

Let off_mode k : 1 - run k m = (1 - p m) / Z k.
Proof.
have Z0 : Z k != 0 by rewrite gt_eqF.
apply: (mulIf Z0); rewrite mulrBl mul1r run_closed /closed /boost eqxx !divfK //.
by rewrite /Z addrAC subrr add0r.
Qed.

Lemma odds k : run k m / (1 - run k m) = expR (k%:R / beta) * (p m / (1 - p m)).
Proof.
rewrite off_mode run_closed /closed /boost eqxx invf_div [LHS]mulrA divfK ?gt_eqF //.
by rewrite [p m * _]mulrC mulrA.
Qed.

(** k steps add exactly k/beta to the majority answer's log-odds. *)
Theorem S1 k : p m < 1 -> log_odds (run k) = log_odds p + k%:R / beta.
Proof.
move=> pm1; rewrite /log_odds odds lnM ?posrE ?expR_gt0 ?divr_gt0 ?subr_gt0 //.
by rewrite expK addrC.
Qed.

(** So what is off the mode vanishes like exp(-k/beta). *)
Theorem S1_remainder k : 1 - run k m <= (1 - p m) / p m * expR (- (k%:R / beta)).
Proof.
rewrite off_mode expRN -mulrA -invfM ler_wpmul2l ?subr_ge0 ?policy_le1 //.
by rewrite lef_pinv ?posrE ?mulr_gt0 ?expR_gt0 // ler_addl subr_ge0 policy_le1.
Qed.

(** Ratios of the other answers never change. *)
Theorem S1_ratios k a b : a != m -> b != m -> run k a / run k b = p a / p b.
Proof.
move=> am bm; rewrite run_closed /closed /boost (negbTE am) (negbTE bm) !mulr1.
by rewrite invf_div [LHS]mulrA divfK // gt_eqF.
Qed.

End S1.
