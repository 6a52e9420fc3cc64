(** Policies over finitely many answers, rewards, updates: what the theorems of
    this folder are about, and lemmas that they share. Names and formulas are those
    of the Python package: [sharpening.updates], [sharpening.rewards.majority],
    [sharpening.theorems.assumptions].

    A policy gives each answer a mass of 0 or more, 1 in total; an answer of mass 0
    is impossible and stays so. The type of answers is any finite type, numbers are
    those of any [realType]: nothing here is floating point. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp Require Import mathcomp_extra boolp classical_sets reals topology normedtype.
From mathcomp Require Import sequences derive realfun nsatz_realtype exp.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Import numFieldTopology.Exports.
Local Open Scope ring_scope.

(** The exponential lies above its tangent at 0, the logarithm below its own at 1. *)
Section Tangents.
Variable R : realType.
Implicit Types x : R.

Lemma expR_tangent x : 1 + x <= expR x.
Proof.
have [x0|x0] := leP 0 x; first exact: expR_ge1Dx.
have [c] : exists2 c, c \in `]x, 0[ & expR 0 - expR x = expR c * (0 - x).
  apply: (@MVT _ (@expR R) (@expR R) _ _ x0 (fun y _ => is_derive_expR y)).
  by apply/continuous_subspaceT => ?; exact: continuous_expR.
rewrite in_itv /= => /andP[_ c0]; rewrite expR0 sub0r => slope.
have : expR c * - x <= 1 * - x by rewrite ler_wpmul2r ?oppr_ge0 ?(ltW x0) // ltW // expR_lt1.
by rewrite -slope mul1r ler_subl_addr => below; rewrite -ler_subr_addr addrC.
Qed.

Lemma ln_tangent x : 0 < x -> ln x <= x - 1.
Proof. by move=> x0; rewrite ler_subr_addl -[leRHS](lnK (R := R)) ?posrE // expR_tangent. Qed.

Lemma power_tangent (s t : R) n : 0 <= s -> 0 <= t ->
  s ^+ n + n%:R * s ^+ n.-1 * (t - s) <= t ^+ n.
Proof.
move=> s0 t0; elim: n => [|n IH]; first by rewrite !expr0 !mul0r addr0.
case: n IH => [_|n IH]; first by rewrite expr0 mul1r mul1r expr1 addrC subrK.
rewrite /= in IH *; rewrite [leRHS]exprS; apply: le_trans (ler_wpmul2l t0 IH).
have z0 : 0 <= s ^+ n by exact: exprn_ge0.
rewrite (exprS s n.+1) (exprS s n) (mulrSr 1 n.+1); set N := n.+1%:R; set z := s ^+ n.
have [d ->] : exists d, t = s + d by exists (t - s); rewrite addrC subrK.
rewrite [s + d - s]addrC addKr.
have -> : (s + d) * (s * z + N * z * d) = s * (s * z) + (N + 1) * (s * z) * d + N * z * d ^+ 2.
  by rewrite expr2; nsatz.
by rewrite ler_addl mulr_ge0 ?sqr_ge0 // mulr_ge0 // ler0n.
Qed.

End Tangents.

Section Policies.
Variables (R : realType) (A : finType).
Implicit Types (p q r w d : A -> R) (a b m : A) (V : pred A).

Definition policy p := (forall a, 0 <= p a) /\ \sum_a p a = 1.

(** m is a mode: no answer has more mass. *)
Definition mode p m := forall a, p a <= p m.

(** The mean of a function under a policy. *)
Definition mean p r := \sum_a p a * r a.

(** ** Updates

    Masses times a factor each, normalised; and the policy after a step that adds
    d to the logits, softmax (log p + d), written without the logarithm of 0. *)
Definition tilt w p a := p a * w a / mean p w.
Definition step d p := tilt (fun a => expR (d a)) p.

(** The population standard deviation of the reward. *)
Definition std p r := Num.sqrt (mean p (fun a => (r a - mean p r) ^+ 2)).

(** What each update adds to the logits; [scale] = "group" divides by std + eps. *)
Inductive update :=
  | KLProx of R            (* beta *)
  | NaturalGradient of R   (* learning rate *)
  | NaturalGradientGroup of R & R   (* learning rate, eps *)
  | SoftmaxGradient of R   (* learning rate *)
  | GRPO of R & R.         (* learning rate, eps *)

Definition sensible u :=
  match u with
  | KLProx x | NaturalGradient x | SoftmaxGradient x => 0 < x
  | NaturalGradientGroup x eps | GRPO x eps => (0 < x) && (0 <= eps)
  end.

Definition direction u p r a :=
  match u with
  | KLProx beta => r a / beta
  | NaturalGradient h => h * (r a - mean p r)
  | NaturalGradientGroup h eps => h * ((r a - mean p r) / (std p r + eps))
  | SoftmaxGradient h => h * (p a * (r a - mean p r))
  | GRPO h eps => h * (p a * ((r a - mean p r) / (std p r + eps)))
  end.

(** ** Rewards *)

(** The reward is a nondecreasing function of the mass, over possible answers. *)
Definition comonotone p r := forall a b, 0 < p a -> p a <= p b -> r a <= r b.

(** The vote of infinitely many rollouts. [V a]: the answer a may win it, as
    "no answer" may not; leaders share the reward. *)
Definition leads V p a := [&& V a, 0 < p a & [forall b, V b ==> (p b <= p a)]].

Definition majority V p a : R := if leads V p a then #|[pred b | leads V p b]|%:R^-1 else 0.

Definition unique_mode V p m := V m /\ forall a, V a -> a != m -> p a < p m.

(** ** Lemmas *)

Lemma policy_mean_gt0 p w : policy p -> (forall a, 0 < w a) -> 0 < mean p w.
Proof.
move=> [p0 p1] w0.
have [a pa] : exists a, 0 < p a.
  apply: contrapT => none; have: \sum_a p a = 0.
    by apply: big1 => a _; apply/eqP; rewrite eq_le p0 andbT leNgt; apply/negP => pa; apply: none; exists a.
  by rewrite p1 => /eqP; rewrite oner_eq0.
rewrite /mean (bigD1 a) //= ltr_spaddl ?mulr_gt0 ?sumr_ge0 // => b _.
by rewrite mulr_ge0 // ltW.
Qed.

Lemma mean_exp_gt0 p d : policy p -> 0 < mean p (fun b => expR (d b)).
Proof. by move=> pp; apply: policy_mean_gt0 => // a; exact: expR_gt0. Qed.

Lemma policy_le1 p a : policy p -> p a <= 1.
Proof.
by move=> [p0 <-]; rewrite (bigD1 a) //= ler_addl sumr_ge0.
Qed.

Lemma step_policy d p : policy p -> policy (step d p).
Proof.
move=> pp; have Z := mean_exp_gt0 d pp; case: (pp) => p0 _; split=> [a|].
  by rewrite divr_ge0 ?mulr_ge0 ?(ltW Z) // ltW ?expR_gt0.
by rewrite -mulr_suml divff ?gt_eqF.
Qed.

Lemma step_gt0 d p a : policy p -> 0 < p a -> 0 < step d p a.
Proof. by move=> pp pa; rewrite divr_gt0 ?mulr_gt0 ?expR_gt0 ?mean_exp_gt0. Qed.

Lemma step_eq0 d p a : p a = 0 -> step d p a = 0.
Proof. by rewrite /step /tilt => ->; rewrite !mul0r. Qed.

Lemma policy_mode_gt0 p m : policy p -> mode p m -> 0 < p m.
Proof.
move=> [p0 p1] pm; rewrite lt_def p0 andbT; apply/eqP => m0.
have: \sum_a p a = 0.
  by apply: big1 => a _; apply/eqP; rewrite eq_le p0 andbT -m0.
by rewrite p1 => /eqP; rewrite oner_eq0.
Qed.

Lemma mean_le p r c : policy p -> (forall a, 0 < p a -> r a <= c) -> mean p r <= c.
Proof.
move=> [p0 p1] rc; rewrite -[leRHS]mul1r -p1 mulr_suml ler_sum // => a _.
have := p0 a; rewrite le_eqVlt => /predU1P[<-|pa]; first by rewrite !mul0r.
by rewrite ler_pmul2l // rc.
Qed.

Lemma std_ge0 p r : 0 <= std p r.
Proof. exact: sqrtr_ge0. Qed.

Lemma chebyshev p g w : policy p ->
  (forall a b, 0 < p a -> 0 < p b -> 0 <= (g a - g b) * (w a - w b)) ->
  mean p g * mean p w <= mean p (fun a => g a * w a).
Proof.
move=> [p0 p1] gw.
pose F a b := p a * p b * (g a * w a - g a * w b).
have XE : mean p (fun a => g a * w a) - mean p g * mean p w = \sum_a \sum_b F a b.
  rewrite -[X in X - _]mulr1 -[X in _ * X - _]p1 /mean mulr_suml.
  rewrite [X in _ - X]mulr_suml -sumrB; apply: eq_bigr => a _.
  rewrite !mulr_sumr -sumrB; apply: eq_bigr => b _.
  rewrite /F mulrBr; congr (_ - _); rewrite !mulrA; last by rewrite (mulrAC (p a)).
  by rewrite mulrAC (mulrAC (p a)).
rewrite -subr_ge0 XE -(pmulr_lge0 _ (ltr0Sn R 1)) mulr_natr mulr2n.
rewrite [X in X + _]exchange_big -big_split /= sumr_ge0 // => a _.
rewrite -big_split sumr_ge0 //= => b _.
have -> : F b a + F a b = p a * p b * ((g a - g b) * (w a - w b)).
  rewrite /F (mulrC (p b)) -mulrDr; congr (_ * _).
  by rewrite mulrBl !mulrBr opprB addrC addrACA; congr (_ + _); rewrite addrC.
have := p0 a; rewrite le_eqVlt => /predU1P[<-|pa]; first by rewrite !mul0r.
have := p0 b; rewrite le_eqVlt => /predU1P[<-|pb]; first by rewrite mulr0 mul0r.
by rewrite mulr_ge0 ?gw // ltW // mulr_gt0.
Qed.

(** With a unique mode the majority reward is 1 on it and 0 elsewhere. *)
Lemma majority_unique V p m : policy p -> 0 < p m -> unique_mode V p m ->
  majority V p = fun a => (a == m)%:R.
Proof.
move=> [p0 _] pm [Vm lt_m].
have leadsE a : leads V p a = (a == m).
  apply/and3P/eqP => [[Va _ /forallP top]|->].
    apply/eqP; apply: contraT => am.
    by have := top m; rewrite Vm /= leNgt lt_m.
  split=> //; apply/forallP => b; apply/implyP => Vb.
  by have [->//|bm] := eqVneq b m; exact/ltW/lt_m.
apply: funext => a; rewrite /majority leadsE.
case: eqP => // _; rewrite (eq_card (B := pred1 m)) ?card1 ?invr1 //.
Qed.

End Policies.
