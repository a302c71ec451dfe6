// The weights of the points, made once per set of forms.
#include "winograd_run.h"

namespace ct {
namespace {

// G times the taps of a part, for one point. place: where the packing has the taps of the kernel.
template <class T>
void transform_weights(const ChannelPacking<T>& packing, const WinogradForm* const (&form)[kAxes],
                       const int (&point)[kAxes], const Part* const (&part)[kAxes],
                       const std::vector<index>& place, const T* from, index slice, T* to) {
  constexpr int most = kWinogradMostTaps * kWinogradMostTaps * kWinogradMostTaps;
  const T* tap[most];
  double factor[most];
  int begin[kAxes], end[kAxes], t[kAxes], terms = 0;
  for (int a = 0; a < kAxes; ++a) form[a]->part(part[a]->taps(), part[a]->number, begin[a], end[a]);
  // Samples rise where the shifts of the taps fall, in the adjoint where they rise.
  const auto at = [&](int a) -> const AxisTap& {
    const int n = packing.shape.kind == Kind::forward ? part[a]->taps() - 1 - t[a] : t[a];
    return part[a]->cls->taps[std::size_t(n)];
  };
  for (t[0] = begin[0]; t[0] < end[0]; ++t[0])
    for (t[1] = begin[1]; t[1] < end[1]; ++t[1])
      for (t[2] = begin[2]; t[2] < end[2]; ++t[2]) {
        factor[terms] = 1;
        for (int a = 0; a < kAxes; ++a) factor[terms] *= form[a]->weight(point[a], t[a] - begin[a]);
        tap[terms] = from + place[std::size_t(packing.tap(at(0), at(1), at(2)))] * slice;
        if (factor[terms]) ++terms;
      }
  packing.table->combine(tap, factor, terms, slice, to);
}

}  // namespace

template <class T>
const typename Winograd<T>::Weights& Winograd<T>::weights(const WinogradChoice& choice,
                                                          const T* packed) const {
  std::vector<int> key;
  for (const WinogradCut& cut : choice.cut) key.insert(key.end(), std::begin(cut.form), std::end(cut.form));
  key.insert(key.end(), std::begin(choice.summed), std::end(choice.summed));
  const std::lock_guard<std::mutex> lock(mutex_);
  std::shared_ptr<const Weights>& known = weights_[key];
  if (known) return *known;

  const ChannelPacking<T>& p = packing_;
  auto made = std::make_shared<Weights>();
  const auto each_class = [&](auto&& visit) {
    for (std::size_t d = 0; d < p.classes[0].size(); ++d)
      for (std::size_t h = 0; h < p.classes[1].size(); ++h)
        for (std::size_t w = 0; w < p.classes[2].size(); ++w) {
          const std::size_t cls[kAxes] = {d, h, w};
          const WinogradForm* form[kAxes];
          std::vector<Part> parts[kAxes];
          for (int a = 0; a < kAxes; ++a) {
            const bool forward = p.shape.kind == Kind::forward;
            const int taps = forward ? int(p.residues[a][cls[a]].taps.size()) : most_taps(p.residues[a]);
            form[a] = &kWinogradForms[choice.cut[a].form[taps]];
            parts[a] = list_parts(p, a, *form[a], int(cls[a]));
          }
          visit(form, parts);
        }
  };
  index products = 0;
  each_class([&](auto& form, auto& parts) {
    made->classes.push_back(products);
    if (choice.summed[formed_axes(form)]) return;
    each_point(form, [&](auto& point) { each_part(form, parts, point, [&](auto&) { ++products; }); });
  });
  for (const Panel& panel : p.panels) {
    made->panel.push_back(made->group);
    made->group += products * p.slice(panel);
  }
  made->data = Buffer<T>(made->group * p.shape.groups);

  std::vector<index> place(std::size_t(p.shape.taps()));
  index at = 0;
  for (const index tap : p.order()) place[std::size_t(tap)] = at++;
  const index panels = index(p.panels.size());
  const auto pack = [&](index item) {
    const Panel& panel = p.panels[std::size_t(item % panels)];
    const index slice = p.slice(panel);
    const T* from = packed + item / panels * p.group_weights + panel.weights;
    T* to = made->data.data() + item / panels * made->group + made->panel[std::size_t(item % panels)];
    each_class([&](auto& form, auto& parts) {
      if (choice.summed[formed_axes(form)]) return;
      if (are_plain_sums(p, form, parts)) {
        const AxisClass* const cls[kAxes] = {parts[0][0].cls, parts[1][0].cls, parts[2][0].cls};
        const PairTaps<T> taps(p, cls, from, slice);
        const T* term[ChannelTile<T>::kMostTerms];
        for (int h = 0; h < form[1]->points; ++h)
          for (int w = 0; w < form[2]->points; ++w, to += slice)
            p.table->sum_terms(term, taps.terms(h, w, term), slice, to);
        return;
      }
      each_point(form, [&](auto& point) {
        each_part(form, parts, point, [&](auto& part) {
          transform_weights(p, form, point, part, place, from, slice, to);
          to += slice;
        });
      });
    });
  };
  parallel_for(p.shape.groups * panels, made->group * p.shape.groups > (1 << 18) ? 0 : 1, pack, nullptr);
  known = std::move(made);
  return *known;
}

template const Winograd<float>::Weights& Winograd<float>::weights(const WinogradChoice&, const float*) const;
template const Winograd<double>::Weights& Winograd<double>::weights(const WinogradChoice&,
                                                                    const double*) const;

}  // namespace ct
