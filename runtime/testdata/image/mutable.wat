;; A module whose code can change every kind of state an instance has.
(module
  (type $number (func (result i32)))
  (memory (export "memory") 1 64)
  (table $t (export "t") 2 20 funcref)
  (global $g (mut i64) (i64.const 7))
  (global $f (mut f64) (f64.const 1.5))
  (global $v (mut v128) (v128.const i64x2 3 4))
  (global $r (mut funcref) (ref.func $b))
  (elem (i32.const 0) $a $b)
  (elem $later func $c $a)
  (data (i32.const 8) "active")
  (data $d "hello")
  (func $a (type $number) (i32.const 1))
  (func $b (type $number) (i32.const 2))
  (func $c (type $number) (i32.const 3))

  ;; state mixes everything a guest can observe into one number.
  (func (export "state") (result i64)
    (local $sum i64)
    (local.set $sum (i64.add (global.get $g) (i64.trunc_f64_s (f64.mul (global.get $f) (f64.const 1000)))))
    (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 31)) (i64x2.extract_lane 1 (global.get $v))))
    (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 31)) (i64.extend_i32_u (call_indirect (type $number) (i32.const 0)))))
    (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 31)) (i64.extend_i32_u (table.size $t))))
    (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 31)) (i64.extend_i32_u (memory.size))))
    (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 31)) (i64.extend_i32_u (ref.is_null (global.get $r)))))
    (i64.add (i64.mul (local.get $sum) (i64.const 31)) (i64.extend_i32_u (i32.load8_u (i32.const 60000)))))

  ;; referenced calls the function that the global refers to.
  (func (export "referenced") (result i32)
    (table.set $t (i32.const 1) (global.get $r))
    (call_indirect (type $number) (i32.const 1)))

  (func (export "mutate")
    (global.set $g (i64.const 99)) (global.set $f (f64.const 9.5))
    (global.set $v (v128.const i64x2 5 6)) (global.set $r (ref.func $c))
    (table.set $t (i32.const 0) (ref.func $c))
    (drop (table.grow $t (ref.null func) (i32.const 3)))
    (drop (memory.grow (i32.const 5)))
    (i32.store8 (i32.const 60000) (i32.const 55))
    (i32.store8 (i32.const 200000) (i32.const 77)))

  ;; tail grows the memory and reads where mutate has written behind the old end.
  (func (export "tail") (result i32)
    (drop (memory.grow (i32.const 5)))
    (i32.load8_u (i32.const 200000)))

  (func (export "init") (memory.init $d (i32.const 0) (i32.const 0) (i32.const 5)))
  (func (export "drop") (data.drop $d))
  (func (export "table_init") (result i32)
    (table.init $t $later (i32.const 0) (i32.const 0) (i32.const 2))
    (call_indirect (type $number) (i32.const 0)))
  (func (export "elem_drop") (elem.drop $later))

  (func $deeper (export "overflow") (result i32) (i32.add (i32.const 1) (call $deeper)))
  (func (export "trap") (i32.store8 (i32.const 60000) (i32.const 66)) unreachable)
)
