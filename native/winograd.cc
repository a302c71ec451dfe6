#include "winograd.h"

#include <algorithm>
#include <cstdint>

#include "winograd_run.h"

namespace ct {

template <class T>
typename Winograd<T>::Sizes Winograd<T>::sizes_of(const Axis (&axes)[kAxes]) {
  Sizes sizes;
  index* to = sizes.data();
  for (const Axis& a : axes)
    for (const index size : {a.i, a.lo, a.o}) *to++ = size;
  return sizes;
}

template <class T>
typename Winograd<T>::Arrays Winograd<T>::arrays_of(const Call<T>& call) {
  Arrays arrays;
  const Sizes sizes = sizes_of(call.axes);
  index* to = std::copy(sizes.begin(), sizes.end(), arrays.data());
  *to++ = call.src.n;
  *to++ = thread_count(call.threads);
  const auto add = [&](const auto& view) {
    *to++ = view.stride_n;
    *to++ = view.stride_c;
    to = std::copy_n(view.stride, kAxes, to);
  };
  add(call.src);
  add(call.dst);
  *to = index(reinterpret_cast<std::uintptr_t>(call.dst.data) % 64);
  return arrays;
}

template <class T>
WinogradChoice Winograd<T>::choice(const Axis (&axes)[kAxes]) const {
  return choices_.of(sizes_of(axes), [&] { return choose_winograd(packing_, axes, use_); });
}

template <class T>
std::shared_ptr<const typename Winograd<T>::Prepared> Winograd<T>::prepared(const Call<T>& call) const {
  return prepared_.of(arrays_of(call), [&] {
    const WinogradChoice chosen = choice(call.axes);
    return std::make_shared<const Prepared>(Prepared{chosen, schedule(call, chosen)});
  });
}

template <class T>
bool Winograd<T>::pays(const Call<T>& call) const {
  const WinogradChoice c = choice(call.axes);
  return c.saves && c.cost < c.direct;
}

template <class T>
bool Winograd<T>::run(const Call<T>& call, const T* packed) const {
  const auto found = prepared(call);
  const Schedule& plan = found->plan;
  const Weights* const transformed = plan.adds_taps ? nullptr : &weights(found->choice, packed);
  const auto body = [&](index task) { Task(*this, plan, transformed, packed, call, task).run(); };
  return parallel_for(plan.tasks, call.threads, body, call.should_stop);
}

template <class T>
index Winograd<T>::workspace_bytes(const Call<T>& call) const {
  const auto found = prepared(call);
  const Schedule& s = found->plan;
  return workers(call.threads, s.tasks) * s.elements() * index(sizeof(T));
}

template <class T>
std::string Winograd<T>::explain(const Call<T>& call) const {
  const auto found = prepared(call);
  const WinogradChoice& chosen = found->choice;
  const Schedule& s = found->plan;
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
