;; Loops for ever before it can be called.
(module
  (memory (export "memory") 1)
  (func $init (loop (br 0)))
  (start $init)
  (func (export "_start")))
