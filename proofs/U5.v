(** U5, No finite collapse step without coupling.

    Python, [sharpening.get_theorem("U5").statement]:

    "One correct answer a prompt, initial modes unique. For any policies at all
    RewardAccuracy >= alpha - (1 - retention), since a prompt that still answers its
    correct initial mode is rewarded truthfully. Every update of this package keeps
    every mode of uncoupled prompts, so they have RewardAccuracy(t) >= alpha at
    every step of the majority reward and end at alpha: 'sharpening each prompt to
    its mode gives a finite Model Collapse Step' is false for every threshold below
    alpha. Collapse needs moved modes, hence coupling (part C) or sampling noise; a
    shared drift to one wrong answer is enough. A tie of three or more with one
    correct answer ends above its share of alpha, so the mode must be unique."

    Coq, below: [U5_at_least], [U5_limit] (with its rate, [U5_at_most]),
    [U5_no_collapse], for steps of KL-prox; and [U5_tie], at the end of a tie, where
    the leaders share all of the mass. Left out: the bound by retention, for any
    policies; updates other than KL-prox; the way to that end, for ties; and that
    coupling or sampling noise can bring a collapse about, which is C2 and F1. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp Require Import mathcomp_extra boolp classical_sets reals topology normedtype.
From mathcomp Require Import sequences nsatz_realtype exp.
From sharpening Require Import Policies S1.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Import numFieldTopology.Exports numFieldNormedType.Exports.
Local Open Scope ring_scope.
Local Open Scope classical_set_scope.

Section OnePrompt.
Variables (R : realType) (A : finType) (V : pred A).
Implicit Types (q : A -> R) (m c : A).

(** How much of the policy the vote's reward judges as the truth would. *)
Definition reward_accuracy q c := 1 - \sum_a q a * `|majority V q a - (a == c)%:R|.

Lemma reward_accuracy_unique q m c : policy q -> 0 < q m -> unique_mode V q m ->
  reward_accuracy q c = if m == c then 1 else 1 - q m - q c.
Proof.
move=> qq qm mode_m; rewrite /reward_accuracy (majority_unique qq qm mode_m).
case: eqP => [->|/eqP mc].
  by rewrite big1 ?subr0 // => a _; rewrite subrr normr0 mulr0.
rewrite (bigD1 m) //= (bigD1 c) 1?eq_sym //= big1 => [|a /andP[am ac]]; last first.
  by rewrite (negbTE am) (negbTE ac) subrr normr0 mulr0.
by rewrite !eqxx eq_sym (negbTE mc) subr0 sub0r normrN !normr1 !mulr1 addr0 opprD addrA.
Qed.

Lemma two_masses q m c : policy q -> m != c -> q m + q c <= 1.
Proof.
move=> [q0 <-] mc; rewrite (bigD1 m) //= (bigD1 c) 1?eq_sym //= addrA ler_addl.
by rewrite sumr_ge0.
Qed.

(** Where k answers tie and share all of the mass, one of them correct: 1/2 for
    k = 2, their share of alpha; more than the share 1/k for k = 3 and above. *)
Section Tie.
Variables (M : {set A}) (c : A).
Hypotheses (voting : forall a, a \in M -> V a) (cM : c \in M).

Let k : R := #|M|%:R.
Definition shared a : R := if a \in M then k^-1 else 0.

Let k_gt0 : 0 < k.
Proof. by rewrite ltr0n card_gt0; apply/set0Pn; exists c. Qed.

Lemma reward_accuracy_tie : reward_accuracy shared c = 1 - 2%:R * (k - 1) / k ^+ 2.
Proof.
have leadsE a : leads V shared a = (a \in M).
  rewrite /leads /shared; case: ifPn => aM; last by rewrite ltxx andbF.
  rewrite voting // invr_gt0 k_gt0 /=; apply/forallP => b; apply/implyP => _.
  by case: ifP => // _; rewrite invr_ge0 ltW.
have majorityE a : majority V shared a = shared a.
  rewrite /majority leadsE /shared; case: ifP => // _; congr (_%:R^-1).
  by apply: eq_card => b; rewrite !inE leadsE.
have k1 : k^-1 <= 1 by rewrite invf_le1 // ler1n card_gt0; apply/set0Pn; exists c.
rewrite /reward_accuracy (bigID (mem M)) /= [X in _ - (_ + X)]big1 ?addr0 => [|a /negbTE aM]; last first.
  by rewrite /shared aM mul0r.
rewrite (bigD1 c) //= majorityE eqxx {1 2}/shared cM distrC ger0_norm ?subr_ge0 //.
have -> : \sum_(a in M | a != c) shared a * `|majority V shared a - (a == c)%:R|
    = \sum_(a in M | a != c) k^-1 * k^-1.
  apply: eq_bigr => a /andP[aM /negbTE ac]; rewrite majorityE ac subr0 /shared aM.
  by rewrite ger0_norm // invr_ge0 ltW.
have -> : \sum_(a in M | a != c) k^-1 * k^-1 = k^-1 * k^-1 * (k - 1).
  rewrite (eq_bigl (fun a => a \in M :\ c)) => [|a]; last by rewrite !inE andbC.
  by rewrite sumr_const -mulr_natr; congr (_ * _); rewrite /k (cardsD1 c M) cM natrD addrAC subrr add0r.
have ki : k * k^-1 = 1 by rewrite divff // gt_eqF.
by rewrite -exprVn expr2 mulr2n; move: ki; move: k^-1 => i ki; nsatz.
Qed.

Theorem U5_tie : (2 < #|M|)%N -> k^-1 < reward_accuracy shared c.
Proof.
move=> three; rewrite reward_accuracy_tie -subr_gt0 -exprVn expr2.
have ki : k * k^-1 = 1 by rewrite divff // gt_eqF.
have k2 : k^-1 * 2%:R < 1 by rewrite mulrC ltr_pdivr_mulr // mul1r ltr_nat.
have i0 : 0 < k^-1 by rewrite invr_gt0.
move: k^-1 i0 ki k2 => i i0 ki k2.
have -> : 1 - 2%:R * (k - 1) * (i * i) - i = (1 - i) * (1 - i * 2%:R) by rewrite !mulr2n; nsatz.
rewrite mulr_gt0 ?subr_gt0 //; apply: le_lt_trans k2; rewrite ler_pemulr ?(ltW i0) //.
by rewrite (ler_nat _ 1 2).
Qed.

End Tie.

End OnePrompt.

Section U5.
Variables (R : realType) (X A : finType) (V : pred A) (beta : R).
Variables (weight : X -> R) (p : X -> A -> R) (m c : X -> A).
Hypotheses (beta_gt0 : 0 < beta) (weights : policy weight).
Hypotheses (pp : forall x, policy (p x)) (mode_m : forall x, unique_mode V (p x) (m x)).
Hypothesis possible : forall x, 0 < p x (m x).

(** Every prompt runs by itself. *)
Definition RewardAccuracy t := \sum_x weight x * reward_accuracy V (run V beta (p x) t) (c x).
Definition alpha := \sum_x weight x * (m x == c x)%:R.

Let w_ge0 x : 0 <= weight x. Proof. by case: weights. Qed.

Let run_policy x t : policy (run V beta (p x) t).
Proof. exact: S1_policy. Qed.

Let run_mode x t : unique_mode V (run V beta (p x) t) (m x).
Proof. exact: S1_mode. Qed.

Let run_possible x t : 0 < run V beta (p x) t (m x).
Proof.
elim: t => [|t IH]; first exact: possible.
by rewrite /run iterS; apply: step_gt0 => //; exact: run_policy.
Qed.

Let one x t : (m x == c x)%:R <= reward_accuracy V (run V beta (p x) t) (c x)
  <= (m x == c x)%:R + (1 - run V beta (p x) t (m x)).
Proof.
rewrite (reward_accuracy_unique _ (run_policy x t) (run_possible x t) (run_mode x t)).
case: eqP => [_|/eqP mc]; first by rewrite lexx ler_addl subr_ge0 policy_le1.
rewrite add0r ger_addl oppr_le0 (proj1 (run_policy x t)) andbT.
by rewrite -addrA -opprD subr_ge0 two_masses.
Qed.

(** *** The theorem *)
Theorem U5_at_least t : alpha <= RewardAccuracy t.
Proof. by apply: ler_sum => x _; rewrite ler_wpmul2l //; case/andP: (one x t). Qed.

Let C := \sum_x weight x * ((1 - p x (m x)) / p x (m x)).

Theorem U5_at_most t : RewardAccuracy t <= alpha + C * expR (- (t%:R / beta)).
Proof.
rewrite /C mulr_suml -big_split; apply: ler_sum => x _ /=.
rewrite -mulrA -mulrDr ler_wpmul2l //; case/andP: (one x t) => _ /le_trans; apply.
by rewrite ler_add2l S1_remainder.
Qed.

Theorem U5_limit : RewardAccuracy @ \oo --> alpha.
Proof.
have small : (fun t => alpha + C * expR (- (t%:R / beta))) @ \oo --> alpha.
  rewrite -[X in _ --> X]addr0 -(mulr0 C).
  apply: cvgD; first exact: cvg_cst.
  apply: cvgM; first exact: cvg_cst.
  have -> : (fun t => expR (- (t%:R / beta))) = (fun t : nat => expR (- beta^-1) ^+ t).
    by apply: funext => t; rewrite -expRMm mulrN.
  apply: cvg_expr; rewrite ger0_norm ?(ltW (expR_gt0 _)) //.
  by rewrite expR_lt1 oppr_lt0 invr_gt0.
apply: (squeeze_cvgr _ (cvg_cst alpha) small).
by apply: nearW => t; rewrite U5_at_least U5_at_most.
Qed.

(** The Model Collapse Step, the first t with RewardAccuracy(t) at or below a
    threshold, does not exist for a threshold below alpha. *)
Corollary U5_no_collapse threshold : threshold < alpha ->
  ~ exists t, RewardAccuracy t <= threshold.
Proof.
by move=> below [t low]; have := le_lt_trans (le_trans (U5_at_least t) low) below; rewrite ltxx.
Qed.

End U5.
