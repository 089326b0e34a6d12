using Leither.Ipfs.Files;
using Leither.Libp2p.KadDht;
using Leither.TestKit;
using Xunit;

namespace Leither.Libp2p.Tests.KadDht;

public sealed class KadStoreTests
{
    private const string FileName = "dht";

    public enum Kind
    {
        Memory,
        Disk,
        SimulatedDisk,
    }

    [Theory, InlineData(Kind.Memory), InlineData(Kind.Disk), InlineData(Kind.SimulatedDisk)]
    public void What_was_put_last_is_there_after_a_restart(Kind kind)
    {
        using var world = new World(kind);
        IKadStore store = world.Open();
        Assert.Empty(store.Load());
        store.Put([1], [10]);
        store.Put([2], []);
        store.Put([1], [11, 12]);
        store.Put([3], [13]);
        store.Flush(durably: true);
        store.Delete([3]);
        store.Delete([9]);
        store.Put([4], new byte[100_000]);
        Assert.Equal(["01=0B0C", "02="], Show(store).Take(2));
        Assert.Equal(3, store.Load().Count());
        store.Flush(durably: false);
        store = world.Restart();
        Assert.Equal(["01=0B0C", "02="], Show(store).Take(2));
        Assert.Equal(100_000, store.Load().Single(entry => entry.Key[0] == 4).Value.Length);
        Assert.Equal(3, store.Load().Count());
    }

    [Theory, InlineData(Kind.Memory), InlineData(Kind.SimulatedDisk)]
    public void Whatever_is_done_to_it_it_holds_what_a_dictionary_would(Kind kind) => Seed.Run(random =>
    {
        using var world = new World(kind);
        IKadStore store = world.Open();
        var model = new SortedDictionary<string, string>(StringComparer.Ordinal);
        for (int i = 0; i < 3000; i++)
        {
            byte[] name = [(byte)random.Next(60)], value = new byte[random.Next(4) == 0 ? random.Next(5000) : random.Next(20)];
            random.NextBytes(value);
            switch (random.Next(20))
            {
                case 0:
                    store.Flush(random.Next(2) == 0);
                    break;
                case 1:
                    store.Flush(durably: false);
                    store = world.Restart();
                    break;
                case < 8:
                    store.Delete(name);
                    model.Remove(Convert.ToHexString(name));
                    break;
                default:
                    store.Put(name, value);
                    model[Convert.ToHexString(name)] = Convert.ToHexString(value);
                    break;
            }

            if (i % 50 == 0)
            {
                Assert.Equal(model.Select(pair => $"{pair.Key}={pair.Value}"), Show(store));
            }
        }

        // Deleting while reading is what a start does.
        foreach ((byte[] name, _) in store.Load())
        {
            store.Delete(name);
        }

        Assert.Empty(store.Load());
    });

    [Fact]
    public void A_torn_tail_is_cut_wherever_it_was_torn()
    {
        byte[] whole = FileOf(5);
        for (int length = 0; length < whole.Length; length++)
        {
            var disk = new SimulatedDisk(1);
            disk.Put(FileName, whole[..length]);
            using (var store = new DiskKadStore(disk, FileName))
            {
                Assert.Equal(Enumerable.Range(0, Whole(length)).Select(Entry), Show(store));
                store.Put([200], [1]);
                store.Flush(durably: true);
            }

            using var again = new DiskKadStore(disk, FileName);
            Assert.Equal(0, again.DamagedBytes);
            Assert.Equal(Whole(length) + 1, again.Count);
        }
    }

    [Fact]
    public void A_damaged_record_is_dropped_and_all_others_stay()
    {
        byte[] whole = FileOf(5);
        for (int at = 0; at < whole.Length; at++)
        {
            var disk = new SimulatedDisk(1);
            byte[] bytes = [.. whole];
            bytes[at] ^= 0x41;
            disk.Put(FileName, bytes);
            int damaged = at < 16 ? -1 : (at - 16) / 20;
            using (var store = new DiskKadStore(disk, FileName))
            {
                Assert.Equal(Enumerable.Range(0, 5).Where(i => i != damaged).Select(Entry), Show(store));
                Assert.Equal(damaged >= 0, store.DamagedBytes > 0);
                store.Flush(durably: true);
            }

            using var again = new DiskKadStore(disk, FileName);
            // What was torn off at the end is overwritten by what comes next.
            Assert.Equal((damaged < 0 ? 5 : 4, damaged == 4), (again.Count, again.DamagedBytes > 0));
        }
    }

    [Fact]
    public void Junk_is_no_store_and_stops_nothing() => Seed.Run(random =>
    {
        for (int i = 0; i < 200; i++)
        {
            byte[] junk = new byte[random.Next(2000)];
            random.NextBytes(junk);
            var disk = new SimulatedDisk(1);
            disk.Put(FileName, junk);
            using var store = new DiskKadStore(disk, FileName);
            Assert.Equal(0, store.Count);
            store.Put([1], [2]);
            store.Flush(durably: true);
            using var again = new DiskKadStore(disk, FileName);
            Assert.Equal(["01=02"], Show(again));
        }
    });

    [Fact]
    public void The_file_stays_within_bounds_and_what_does_not_fit_is_not_kept()
    {
        var disk = new SimulatedDisk(1);
        using var store = new DiskKadStore(disk, FileName, maxBytes: 1 << 20);
        for (int i = 0; i < 5000; i++)
        {
            store.Put([(byte)(i % 100)], new byte[2000]);
            if (i % 100 == 0)
            {
                store.Flush(durably: false);
                Assert.InRange(store.FileBytes, 0, (2 << 20) + (1 << 20) + 300_000);
            }
        }

        store.Flush(durably: false);
        for (int i = 0; i < 5000; i++)
        {
            store.Put(BitConverter.GetBytes(i + 1000), new byte[2000]);
        }

        store.Flush(durably: false);
        Assert.InRange(store.Load().Sum(entry => entry.Value.Length), 900_000, 1 << 20);
        // What is too much takes the place of nothing, but what stood there is no longer so.
        store.Put([5], new byte[(1 << 20) - 1]);
        store.Flush(durably: false);
        Assert.DoesNotContain(store.Load(), entry => entry.Key is [5]);
    }

    [Fact]
    public void What_was_flushed_durably_survives_a_loss_of_power_at_any_moment() => Seed.Run(random =>
    {
        for (int round = 0; round < (Seed.IsLong ? 1000 : 60); round++)
        {
            var disk = new SimulatedDisk(random.Next()) { ShortWrites = 0.2 };
            var since = new Dictionary<byte, List<string?>>();
            DiskKadStore? store = null;
            try
            {
                for (int life = 0; life < 3; life++)
                {
                    store = new DiskKadStore(disk, FileName);
                    for (byte name = 0; name < 8; name++)
                    {
                        string? value = store.Load().Where(entry => entry.Key[0] == name).Select(entry => Convert.ToHexString(entry.Value)).SingleOrDefault();
                        Assert.Contains(value, since.GetValueOrDefault(name) ?? [null]);
                        since[name] = [value];
                    }

                    disk.OperationsLeft = random.Next(60);
                    try
                    {
                        for (int i = 0; i < 100; i++)
                        {
                            byte name = (byte)random.Next(8);
                            byte[]? value = random.Next(4) == 0 ? null : new byte[random.Next(6000)];
                            random.NextBytes(value ?? []);
                            since[name].Add(value == null ? null : Convert.ToHexString(value));
                            if (value == null)
                            {
                                store.Delete([name]);
                            }
                            else
                            {
                                store.Put([name], value);
                            }

                            if (random.Next(4) == 0)
                            {
                                bool durably = random.Next(2) == 0;
                                store.Flush(durably);
                                foreach (List<string?> values in since.Values.Where(_ => durably))
                                {
                                    values.RemoveRange(0, values.Count - 1);
                                }
                            }
                        }
                    }
                    catch (SimulatedDisk.ProcessEndedException)
                    {
                        // As it was to be.
                    }

                    disk.LosePower();
                }
            }
            finally
            {
                disk.OperationsLeft = int.MaxValue;
                store?.Dispose();
            }
        }
    });

    [Fact]
    public void A_disk_that_fails_loses_nothing_once_it_works_again() => Seed.Run(random =>
    {
        foreach (string operation in (string[])["write", "sync", "create", "rename", "sync directory", "truncate"])
        {
            var disk = new SimulatedDisk(random.Next()) { ShortWrites = 0.3 };
            using var store = new DiskKadStore(disk, FileName);
            var model = new SortedDictionary<string, string>(StringComparer.Ordinal);
            for (int i = 0; i < (Seed.IsLong ? 400 : 100); i++)
            {
                bool fails = random.Next(2) == 0;
                disk.Fails = name => fails && name == operation;
                byte[] name = [(byte)random.Next(20)], value = new byte[random.Next(20_000)];
                random.NextBytes(value);
                store.Put(name, value);
                model[Convert.ToHexString(name)] = Convert.ToHexString(value);
                try
                {
                    store.Flush(random.Next(2) == 0);
                }
                catch (DiskException e)
                {
                    Assert.Equal(operation, e.Operation);
                }

                Assert.Equal(model.Select(pair => $"{pair.Key}={pair.Value}"), Show(store));
            }

            disk.Fails = static _ => false;
            store.Flush(durably: true);
            disk.LosePower();
            using var again = new DiskKadStore(disk, FileName);
            Assert.Equal(model.Select(pair => $"{pair.Key}={pair.Value}"), Show(again));
        }
    });

    private static string[] Show(IKadStore store) =>
        [.. store.Load().Select(entry => $"{Convert.ToHexString(entry.Key)}={Convert.ToHexString(entry.Value)}").Order(StringComparer.Ordinal)];

    private static byte[] FileOf(int count)
    {
        var disk = new SimulatedDisk(1);
        using var store = new DiskKadStore(disk, FileName);
        for (int i = 0; i < count; i++)
        {
            store.Put([(byte)i], [(byte)(i + 100), 1, 2]);
            store.Flush(durably: true);
        }

        return disk.Content(FileName);
    }

    private static int Whole(int length) => Math.Max(0, (length - 16) / 20);

    private static string Entry(int i) => $"{i:X2}={i + 100:X2}0102";

    private sealed class World(Kind kind) : IDisposable
    {
        private readonly TempDir? _dir = kind == Kind.Disk ? new TempDir() : null;
        private readonly SimulatedDisk _disk = new(1);
        private IKadStore? _store;

        public IKadStore Open() => _store = kind switch
        {
            Kind.Memory => _store ?? new MemoryKadStore(),
            Kind.Disk => new DiskKadStore(new DiskFolder(_dir!.Path), FileName),
            _ => new DiskKadStore(_disk, FileName),
        };

        public IKadStore Restart()
        {
            _store?.Dispose();
            return Open();
        }

        public void Dispose()
        {
            _store?.Dispose();
            _dir?.Dispose();
        }
    }
}
