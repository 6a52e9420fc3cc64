(** S4, General sharpening: one step majorizes.

    Python, [sharpening.get_theorem("S4").statement]:

    "If the reward is a nondecreasing function of pi(a), one KL-prox,
    natural-gradient or replicator step of any size gives a policy that majorizes
    pi: every Schur-concave diversity falls, and the mode's mass never does. S1 and
    S3 are special cases."

    Coq, below: [S4] for KL-prox and the natural gradient, with and without the
    division by the standard deviation; [S4_replicator] for pi' = pi r / mean r;
    [S4_schur_concave]; [S4_mode]; and by name, without the definition of
    Schur-concave, [S4_entropy] and [S4_distinct_answers]. [S4_majority] is the
    case of S1. Left out: that S3, powers of pi, is a case too. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp Require Import mathcomp_extra boolp classical_sets reals topology normedtype.
From mathcomp Require Import sequences derive realfun exp.
From sharpening Require Import Policies.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section S4.
Variables (R : realType) (A : finType).
Implicit Types (p q r w d : A -> R) (a b m : A).

(** The sum of the k largest masses, and majorization. *)
Definition top k p := \big[Num.max/0]_(S : {set A} | #|S| == k) \sum_(a in S) p a.
Definition majorizes q p := \sum_a q a = \sum_a p a /\ forall k, top k p <= top k q.

(** A diversity that falls, or stays, under majorization. *)
Definition schur_concave (D : (A -> R) -> R) :=
  forall p q, policy p -> policy q -> majorizes q p -> D q <= D p.

Lemma tilt_policy w p : policy p -> (forall a, 0 <= w a) -> 0 < mean p w -> policy (tilt w p).
Proof.
move=> [p0 _] w0 Z; split=> [a|]; last by rewrite -mulr_suml divff ?gt_eqF.
by rewrite divr_ge0 ?mulr_ge0 // ltW.
Qed.

(** A set of k answers of the largest mass. *)
Lemma top_set k p : (k <= #|A|)%N ->
  exists2 S : {set A}, #|S| = k &
    (forall S' : {set A}, #|S'| = k -> \sum_(a in S') p a <= \sum_(a in S) p a).
Proof.
move=> kA; have [S0 S0k] : exists S0 : {set A}, #|S0| == k.
  exists [set a in take k (enum A)]; rewrite cardsE; apply/eqP.
  by rewrite (card_uniqP _) ?take_uniq ?enum_uniq // size_take -cardE; case: ltngtP kA.
pose size (S : {set A}) := #|S| == k; pose mass (S : {set A}) := \sum_(a in S) p a.
case: (@arg_maxP _ _ _ S0 size mass S0k) => S /eqP Sk top.
by exists S => // S' /eqP /top.
Qed.

(** Nothing outside of it has more mass than anything inside. *)
Lemma top_set_le k p (S : {set A}) : #|S| = k ->
    (forall S' : {set A}, #|S'| = k -> \sum_(a in S') p a <= \sum_(a in S) p a) ->
  forall a b, a \in S -> b \notin S -> p b <= p a.
Proof.
move=> Sk top a b aS bS; have := top (b |: (S :\ a)).
rewrite cardsU1 !inE (negbTE bS) andbF /= add1n (cardsD1 a S) aS /= add1n in Sk *.
rewrite -Sk => /(_ erefl); rewrite big_setU1 ?inE ?(negbTE bS) ?andbF //=.
by rewrite (big_setD1 a aS) /= ler_add2r.
Qed.

(** *** One step with any factors that do not fall with the mass *)
Section Factors.
Variables (p w : A -> R).
Hypotheses (pp : policy p) (w_ge0 : forall a, 0 <= w a) (Z_gt0 : 0 < mean p w) (up : comonotone p w).

Let q := tilt w p.

Lemma tilt_sum (S : {set A}) : \sum_(a in S) tilt w p a = (\sum_(a in S) p a * w a) / mean p w.
Proof. by rewrite mulr_suml. Qed.

Theorem S4_factors : majorizes q p.
Proof.
case: (pp) => p0 p1; have [q0 q1] := tilt_policy pp w_ge0 Z_gt0.
split=> [|k]; first by rewrite p1.
rewrite /top; apply/bigmax_leP; split=> [|S /eqP Sk].
  by rewrite bigmax_idl le_maxr lexx.
have [S' S'k top] := top_set p (leq_trans (eq_leq (esym Sk)) (max_card _)).
apply: le_trans (top S Sk) _; apply: (@bigmax_sup _ _ _ _ S'); first exact/eqP.
pose g a : R := (a \in S')%:R.
have gE (f : A -> R) : \sum_(a in S') f a = \sum_a f a * g a.
  by rewrite big_mkcond; apply: eq_bigr => a _; rewrite /g; case: ifP; rewrite ?mulr1 ?mulr0.
rewrite tilt_sum ler_pdivl_mulr // !gE.
have -> : \sum_a p a * w a * g a = mean p (fun a => g a * w a).
  by apply: eq_bigr => a _; rewrite -mulrA (mulrC (w a)).
apply: chebyshev => // a b pa pb; rewrite /g.
have below := top_set_le S'k top.
case: (boolP (a \in S')); case: (boolP (b \in S')) => bS aS; rewrite ?subrr ?mul0r //.
  by rewrite subr0 mul1r subr_ge0 up // below.
by rewrite sub0r mulN1r opprB subr_ge0 up // below.
Qed.

(** The mode's mass never falls. *)
Theorem S4_mode_factors m : mode p m -> p m <= q m.
Proof.
move=> pm; rewrite /q /tilt ler_pdivl_mulr // ler_wpmul2l ?(proj1 pp) //.
by apply: mean_le => // a pa; exact: up.
Qed.

(** The sum of any convex function of the masses does not fall; [g] is its slope. *)
Lemma convex_sum (phi g : R -> R) : (forall a, 0 < w a) ->
  (forall x y, 0 < x <= 1 -> 0 < y <= 1 -> phi x + g x * (y - x) <= phi y) ->
  \sum_a phi (p a) <= \sum_a phi (q a).
Proof.
move=> w0 convex; case: (pp) => p0 p1; have qq := tilt_policy pp w_ge0 Z_gt0.
have g_up x y : 0 < x <= 1 -> 0 < y <= 1 -> x <= y -> g x <= g y.
  move=> x0 y0; rewrite le_eqVlt => /predU1P[->//|xy].
  have := ler_add (convex x y x0 y0) (convex y x y0 x0).
  rewrite addrACA -ler_subr_addl [phi y + _]addrC subrr.
  have -> : g x * (y - x) + g y * (x - y) = (g x - g y) * (y - x).
    by rewrite -(opprB y) mulrN -mulrBl.
  by rewrite pmulr_lle0 ?subr_gt0 // subr_le0.
have q_gt0 a : 0 < p a -> 0 < q a by move=> pa; rewrite divr_gt0 ?mulr_gt0.
pose h a := if 0 < p a then g (p a) else 0.
have step1 a : phi (p a) + h a * (q a - p a) <= phi (q a).
  rewrite /h; case: ifPn => [pa|]; first by rewrite convex // ?pa ?q_gt0 ?policy_le1.
  rewrite -leNgt => pa; have pa0 : p a = 0 by apply/eqP; rewrite eq_le pa p0.
  by rewrite mul0r addr0 /q /tilt pa0 !mul0r.
apply: le_trans (_ : \sum_a (phi (p a) + h a * (q a - p a)) <= _); last exact: ler_sum.
rewrite big_split ler_addl /=.
have -> : \sum_a h a * (q a - p a) = (mean p (fun a => h a * w a) - mean p h * mean p w) / mean p w.
  rewrite mulrBl mulfK ?gt_eqF // /mean mulr_suml -sumrB; apply: eq_bigr => a _.
  by rewrite mulrBr /q /tilt !mulrA (mulrC (h a)) (mulrC (p a) (h a)).
rewrite divr_ge0 ?(ltW Z_gt0) // subr_ge0; apply: chebyshev => // a b pa pb.
rewrite /h pa pb; case/orP: (le_total (p a) (p b)) => ab.
  rewrite mulr_le0 // subr_le0 ?up //.
  by rewrite g_up ?pa ?pb ?policy_le1.
rewrite mulr_ge0 // subr_ge0 ?up //.
by rewrite g_up ?pa ?pb ?policy_le1.
Qed.

End Factors.

(** *** The updates of the theorem *)

Definition is_factor_update (u : update R) :=
  match u with KLProx _ | NaturalGradient _ | NaturalGradientGroup _ _ => true | _ => false end.

Lemma direction_up u p r : is_factor_update u -> sensible u -> comonotone p r ->
  comonotone p (direction u p r).
Proof.
case: u => [beta|h|h eps|//|//] _ /=.
- by move=> beta0 up a b pa ab; rewrite ler_pmul2r ?invr_gt0 // up.
- by move=> h0 up a b pa ab; rewrite ler_pmul2l // ler_add2r up.
- case/andP=> h0 eps0 up a b pa ab; rewrite ler_pmul2l // ler_wpmul2r ?ler_add2r ?up //.
  by rewrite invr_ge0 addr_ge0 ?std_ge0.
Qed.

Lemma exp_up p d : comonotone p d -> comonotone p (fun a => expR (d a)).
Proof. by move=> up a b pa ab; rewrite ler_expR up. Qed.

Section Step.
Variables (u : update R) (p r : A -> R).
Hypotheses (pp : policy p) (kind : is_factor_update u) (size : sensible u) (up : comonotone p r).

Let next := step (direction u p r) p.
Let w_ge0 a : 0 <= expR (direction u p r a). Proof. exact/ltW/expR_gt0. Qed.
Let Z_gt0 : 0 < mean p (fun a => expR (direction u p r a)). Proof. exact: mean_exp_gt0. Qed.
Let factors_up : comonotone p (fun a => expR (direction u p r a)).
Proof. exact: exp_up (direction_up kind size up). Qed.

Theorem S4 : majorizes next p.
Proof. exact: S4_factors. Qed.

Corollary S4_schur_concave D : schur_concave D -> D next <= D p.
Proof. by apply; [|exact: step_policy|exact: S4]. Qed.

Theorem S4_mode m : mode p m -> p m <= next m.
Proof. exact: S4_mode_factors. Qed.

(** Two diversities by name, proved without the definition of Schur-concave:
    entropy in nats, and the mean number of distinct answers among N rollouts. *)
Definition entropy p := - \sum_a p a * ln (p a).
Definition distinct_answers N p := \sum_a (1 - (1 - p a) ^+ N).

Theorem S4_entropy : entropy next <= entropy p.
Proof.
pose phi x : R := x * ln x; pose slope x : R := 1 + ln x.
rewrite ler_opp2; apply: (@convex_sum _ _ pp w_ge0 Z_gt0 factors_up phi slope) => [a|x y].
  exact: expR_gt0.
move=> /andP[x0 _] /andP[y0 _]; rewrite /phi /slope.
have below : ln x - ln y <= x / y - 1 by rewrite -ln_div ?posrE // ln_tangent // divr_gt0.
have {below} : y * (ln x - ln y) <= x - y.
  have -> : x - y = y * (x / y - 1) by rewrite mulrBr mulr1 mulrCA divff ?mulr1 // gt_eqF.
  by rewrite ler_pmul2l.
have -> : x * ln x + (1 + ln x) * (y - x) = y * ln x - (x - y).
  by rewrite opprB mulrDl mul1r mulrBr !(mulrC (ln x)) addrCA [LHS]addrCA; congr (_ + _); rewrite addrC subrK.
by rewrite mulrBr ler_subl_addr ler_subl_addl.
Qed.

Theorem S4_distinct_answers N : distinct_answers N next <= distinct_answers N p.
Proof.
rewrite /distinct_answers !sumrB ler_add2l ler_opp2.
pose phi x : R := (1 - x) ^+ N; pose slope x : R := - (N%:R * (1 - x) ^+ N.-1).
apply: (@convex_sum _ _ pp w_ge0 Z_gt0 factors_up phi slope) => [a|x y].
  exact: expR_gt0.
move=> /andP[_ x1] /andP[_ y1]; rewrite /phi /slope.
have -> : - (N%:R * (1 - x) ^+ N.-1) * (y - x) = N%:R * (1 - x) ^+ N.-1 * ((1 - y) - (1 - x)).
  by rewrite mulNr -mulrN !opprB [1 - y + _]addrC addrA subrK.
have : 0 <= 1 - y by rewrite subr_ge0.
have : 0 <= 1 - x by rewrite subr_ge0.
by move=> x0 y0; exact: power_tangent.
Qed.

End Step.

(** The replicator step pi' = pi r / mean r, for rewards of 0 or more. *)
Theorem S4_replicator p r : policy p -> (forall a, 0 <= r a) -> 0 < mean p r -> comonotone p r ->
  majorizes (tilt r p) p.
Proof. exact: S4_factors. Qed.

(** The majority reward rises with the mass where every answer may win the vote, so
    a step of S1 majorizes. *)
Theorem S4_majority beta p : policy p -> 0 < beta ->
  majorizes (step (direction (KLProx beta) p (majority predT p)) p) p.
Proof.
move=> pp beta0; apply: S4 => // a b pa ab; rewrite /majority /leads /= pa (lt_le_trans pa ab) /=.
case: ifP => [/forallP top|_]; last by case: ifP => // _; rewrite invr_ge0 ler0n.
by rewrite ifT //; apply/forallP => c; exact: le_trans (top c) ab.
Qed.

End S4.
