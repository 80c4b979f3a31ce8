from __future__ import annotations
from world import Member, World, shown
import time
def test_s01_x(world: World) -> None:
    t=time.time()
    def lap(x):
        nonlocal t
        print(x, round(time.time()-t,3)); t=time.time()
    world.flow({"a": Member(), "b": Member()})
    lap('flow')
    ann = world.add("a", email="ann@x.org", name="Ann", phone="1")
    lap('add')
    r = world.run()
    lap('run')
    for _ in range(3):
        world.run()
        lap('run')
    import cProfile,pstats
    p=cProfile.Profile(); p.enable(); world.run(); p.disable()
    pstats.Stats(p).sort_stats('cumtime').print_stats(45)
    assert 0
