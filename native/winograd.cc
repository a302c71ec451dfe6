#include "winograd.h"

#include <algorithm>

#include "winograd_run.h"

namespace ct {

template <class T>
std::vector<index> Winograd<T>::sizes_of(const Axis (&axes)[kAxes]) {
  std::vector<index> sizes;
  for (const Axis& a : axes) sizes.insert(sizes.end(), {a.i, a.lo, a.o});
  return sizes;
}

template <class T>
WinogradChoice Winograd<T>::choice(const Axis (&axes)[kAxes]) const {
  return remembered(choices_, sizes_of(axes), [&] { return choose_winograd(packing_, axes, use_); });
}

template <class T>
bool Winograd<T>::pays(const Call<T>& call) const {
  const WinogradChoice c = choice(call.axes);
  return c.saves && c.cost < 0.95 * c.direct;
}

template <class T>
bool Winograd<T>::run(const Call<T>& call, const T* packed) const {
  const WinogradChoice chosen = choice(call.axes);
  const Schedule plan = schedule(call, chosen);
  const Weights* const transformed = plan.adds_taps ? nullptr : &weights(chosen, packed);
  const auto body = [&](index task) { Task(*this, plan, transformed, packed, call, task).run(); };
  return parallel_for(plan.tasks, call.threads, body, call.should_stop);
}

template <class T>
index Winograd<T>::workspace_bytes(const Call<T>& call) const {
  const Schedule s = schedule(call, choice(call.axes));
  return workers(call.threads, s.tasks) * s.elements() * index(sizeof(T));
}

template <class T>
std::string Winograd<T>::explain(const Call<T>& call) const {
  const WinogradChoice chosen = choice(call.axes);
  const Schedule s = schedule(call, chosen);
  std::string forms;
  for (int a = 0; a < kAxes; ++a) {
    std::vector<std::string> names;
    const WinogradAxis axis =
        winograd_axis(packing_.shape.kind, call.axes[a], packing_.residues[a], chosen.cut[a]);
    for (const Strand& s : axis.strands) {
      if (s.variant < 0) continue;
      const WinogradForm& form = axis.variants[std::size_t(s.variant)].shape();
      int parts = 1;
      for (const Part& p : list_parts(packing_, a, form, s.cls)) parts = std::max(parts, p.number + 1);
      if (form.input == kPlain) continue;
      const std::string name = (parts > 1 ? std::to_string(parts) + " parts of " : "") + form.name;
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
    for (const std::string& name : names)
      forms += (forms.empty() ? "" : &name == names.data() ? " by " : " and ") + name;
  }
  const auto percent = index(100 * chosen.products / std::max(chosen.direct_products, 1.0));
  return "Winograd " + forms + " phases: " + std::to_string(percent) + " % of the multiplications, " +
         std::to_string(s.tasks) + " tasks" +
         (s.adds_taps ? ", weights added up from the taps as they are used" : "");
}

template class Winograd<float>;
template class Winograd<double>;

}  // namespace ct
