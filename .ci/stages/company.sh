# shellcheck shell=bash
# In the company of others: programs and plugins that it meets, programs frozen, faults on purpose.
prepare_company() { # EXTRA: what tests/EXTRA needs
  venv "$work/$1" python3
  "$work/$1/bin/pip" install -q "$(main_wheel)[test,$1]"
}
for x in notebook beside clients frozen; do
  eval "prepare_$x() { prepare_company $x; }; measure_$x() { suite '$work/$x' tests/$x; }"
done
prepare_nuitka() {
  venv "$work/nuitka" python3
  "$work/nuitka/bin/pip" install -q "$(main_wheel)[test,frozen]"
}
measure_nuitka() { GILKNOCKER_NUITKA=1 suite "$work/nuitka" tests/frozen -k nuitka; }
prepare_integrations() {
  prepare_company integrations
  command -v promtool >/dev/null || (unpack "$work/prometheus" prometheus) ||
    echo "no Prometheus to be had: its tests are skipped"
}
measure_integrations() { # those of pytest run with the rest of the suite
  PATH=$PATH:$work/prometheus/usr/bin suite "$work/integrations" tests/integrations \
    --ignore=tests/integrations/pytest
}
prepare_torture() { # the full run, for docs/reliability.md, is by hand
  venv "$work/torture" python3
  "$work/torture/bin/pip" install -q "$(main_wheel)[torture]"
  limit "$work/torture/bin/python" "$work/tree/tests/torture/run.py" --seed 1 --count 3 --tracers
}
